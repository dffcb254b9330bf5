# SPDX-License-Identifier: BSD-2-Clause
# work.rb MIB: fills about that much memory with strings and a hash, and says
# what it found there.
require 'digest'

n = ARGV[0].to_i * 5000
words = (0...n).map { |i| "#{i * 7919 % 1_000_003}-#{i}" }
places = {}
words.each_with_index { |w, i| places[w] = i }
words.reverse!
(0...n).step(3) { |i| places[words[i]] += 1 }
more = words.each_slice(2).map { |w, _| w + 'x' * 60 }
GC.start
sha = Digest::SHA256.new
words.each_with_index do |w, i|
  raise "word #{i}" unless places[w] == n - 1 - i + (i % 3 == 0 ? 1 : 0)
  sha << w
end
more.each { |w| sha << w }
puts "#{places.size} #{places.each_value.sum} #{sha.hexdigest}"
