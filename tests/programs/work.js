// SPDX-License-Identifier: BSD-2-Clause
// work.js MIB: fills about that much memory with objects, a map and buffers, and
// says what it found there.
'use strict';
const mib = Number(process.argv[2]);
const hash = require('crypto').createHash('sha256');

const objects = [];
for (let i = 0; i < mib * 4000; i++)
	objects.push({ id: i, name: 'n' + i * 7919 % 1000003, list: [i, 2 * i, 3 * i] });
const sums = new Map();
for (const o of objects)
	sums.set(o.name, (sums.get(o.name) || 0) + o.id);
// Outside of V8's heap: a quarter of it.
const buffers = [];
for (let i = 0; i < mib / 4; i++)
	buffers.push(Buffer.alloc(1 << 20, i % 251));
for (let i = 0; i < objects.length; i += 3)
	objects[i] = { id: i, name: objects[i].name.toUpperCase(), list: [i, 2 * i, 3 * i] };
let total = 0;
objects.forEach((o, i) => {
	if (o.id !== i || o.list[2] !== 3 * i)
		throw new Error('object ' + i);
	total += sums.get(o.name.toLowerCase());
	hash.update(o.name);
});
for (const b of buffers)
	hash.update(b);
console.log(objects.length, sums.size, total, hash.digest('hex'));
