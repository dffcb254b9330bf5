// SPDX-License-Identifier: BSD-2-Clause
//
// mapnodes N: a std::map of N nodes, filled in rising order of the keys as an
// index is, walked from end to end, then searched and thinned out at random
// keys: each of those touches a dozen pages in no order.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>

// splitmix64's finalizer: a permutation, so that the keys are distinct.
static uint64_t
mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static int
wrong(const char *what, uint64_t at)
{
	fprintf(stderr, "%s at %#lx\n", what, (unsigned long)at);
	return 1;
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: mapnodes N\n");
		return 2;
	}
	uint64_t n = strtoull(argv[1], nullptr, 10);
	std::map<uint64_t, uint64_t> map;
	for (uint64_t i = 0; i < n; i++)
		map.emplace_hint(map.end(), i, mix(i));
	if (map.size() != n)
		return wrong("wrong size", map.size());

	uint64_t last = 0, sum = 0;
	for (const auto &node : map) {
		if (node.first < last || node.second != mix(node.first))
			return wrong("wrong node", node.first);
		last = node.first;
		sum += node.first;
	}
	if (sum != n * (n - 1) / 2)
		return wrong("wrong sum", sum);

	uint64_t erased = 0;
	for (uint64_t k = 0; k < 5000; k++) {
		uint64_t i = mix(k) % n;
		auto node = map.find(i);
		if (node == map.end())
			continue; // a key drawn twice
		if (node->second != mix(i))
			return wrong("wrong value", i);
		map.erase(node);
		erased++;
	}
	if (map.size() != n - erased)
		return wrong("wrong size at the end", map.size());
	return 0;
}
