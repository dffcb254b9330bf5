// SPDX-License-Identifier: BSD-2-Clause
// Work MIB: fills about that much memory with objects, a map, arrays and
// memory outside of the heap, and says what it found there.
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.zip.CRC32;

public class Work {
	static class Item {
		long id;
		String name;
		long[] list;

		Item(long i) {
			id = i;
			name = "n" + i * 7919 % 1000003;
			list = new long[] {i, 2 * i, 3 * i};
		}
	}

	public static void main(String[] args) throws Exception {
		int mib = Integer.parseInt(args[0]);
		ArrayList<Item> items = new ArrayList<>();
		for (int i = 0; i < mib * 3000; i++)
			items.add(new Item(i));
		HashMap<String, Long> sums = new HashMap<>();
		for (Item t : items)
			sums.merge(t.name, t.id, Long::sum);
		ArrayList<ByteBuffer> direct = new ArrayList<>();
		for (int i = 0; i < mib / 4; i++) {
			ByteBuffer b = ByteBuffer.allocateDirect(1 << 20);
			for (int j = 0; j < 1 << 20; j += 8)
				b.putLong(j, (long)i * j);
			direct.add(b);
		}
		for (int i = 0; i < items.size(); i += 3)
			items.set(i, new Item(i));
		// What is not seen is a NullPointerException, which the virtual
		// machine makes of a SIGSEGV of its own.
		int nulls = 0;
		for (int i = 0; i < 100000; i++) {
			Item t = i % 100 == 0 ? null : items.get(i % items.size());
			try {
				nulls += t.list.length == 3 ? 0 : 1;
			} catch (NullPointerException e) {
				nulls++;
			}
		}
		// Two threads, as collections stop them at polling pages.
		CRC32[] crc = {new CRC32(), new CRC32()};
		Thread[] threads = new Thread[2];
		for (int k = 0; k < 2; k++) {
			int which = k;
			threads[k] = new Thread(() -> {
				for (int i = which; i < items.size(); i += 2) {
					Item t = items.get(i);
					if (t.id != i || t.list[2] != 3L * i)
						throw new IllegalStateException("item " + i);
					crc[which].update((t.name + sums.get(t.name)).getBytes());
				}
			});
			threads[k].start();
		}
		for (Thread t : threads)
			t.join();
		CRC32 outside = new CRC32();
		for (ByteBuffer b : direct)
			outside.update(b);
		System.out.println(items.size() + " " + sums.size() + " " + nulls + " "
		    + crc[0].getValue() + " " + crc[1].getValue() + " " + outside.getValue());
	}
}
