// SPDX-License-Identifier: BSD-2-Clause

// work MIB: fills about that much memory with objects, a map and slices, and says
// what it found there. Linked with C, hence dynamically.
package main

import "C"

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

type item struct {
	id   int
	name string
	list []int
}

func main() {
	mib, _ := strconv.Atoi(os.Args[1])
	n := mib * 4000
	items := make([]*item, 0)
	for i := 0; i < n; i++ {
		items = append(items, &item{i, "n" + strconv.Itoa(i*7919%1000003), []int{i, 2 * i, 3 * i}})
	}
	sums := map[string]int{}
	for _, t := range items {
		sums[t.name] += t.id
	}
	for i := 0; i < n; i += 3 {
		items[i] = &item{i, items[i].name, []int{i, 2 * i, 3 * i}}
	}
	// Freed memory goes back to the system, and is asked for again.
	garbage := make([]byte, mib<<18)
	for i := range garbage {
		garbage[i] = byte(i)
	}
	garbage = nil
	debug.FreeOSMemory()
	again := make([]byte, mib<<18)
	for i, b := range again {
		if b != 0 {
			panic(fmt.Sprint("byte ", i, " is ", b))
		}
		again[i] = byte(i * 7)
	}
	hash := sha256.New()
	total := 0
	for i, t := range items {
		if t.id != i || t.list[2] != 3*i {
			panic(fmt.Sprint("item ", i))
		}
		total += sums[t.name]
		hash.Write([]byte(t.name))
	}
	hash.Write(again)
	fmt.Printf("%d %d %d %x\n", len(items), len(sums), total, hash.Sum(nil))
}
