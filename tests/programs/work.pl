#!/usr/bin/perl
# SPDX-License-Identifier: BSD-2-Clause
# work.pl MIB: fills about that much memory with strings and a hash, and says
# what it found there.
use strict;
use warnings;
use Digest::SHA;

my $n = $ARGV[0] * 4200;
my @words = map { ($_ * 7919 % 1000003) . "-$_" } 0 .. $n - 1;
my %places;
$places{$words[$_]} = $_ for 0 .. $n - 1;
@words = reverse @words;
for (my $i = 0; $i < $n; $i += 3) {
	$places{$words[$i]}++;
}
my $sha = Digest::SHA->new(256);
my $sum = 0;
for my $i (0 .. $n - 1) {
	my $want = $n - 1 - $i + ($i % 3 == 0);
	$places{$words[$i]} == $want or die "word $i";
	$sum += $places{$words[$i]};
	$sha->add($words[$i]);
}
print scalar(keys %places), " $sum ", $sha->hexdigest, "\n";
