% SPDX-License-Identifier: BSD-2-Clause
% work.m MIB: fills about that much memory with matrices, and says what it found
% there.
mib = str2double(argv(){end});
side = floor(sqrt(mib * 131072 / 4));
a = reshape(mod((1:side * side) * 7919, 1000003), side, side);
t = a';
assert(isequal(t', a));
s = sort(a(:));
assert(issorted(s));
a(:, 1:3:end) = [];
c = cumsum(a, 2);
printf("%.0f\n", sum(a(:, 1)), sum(t(:, end)), sum(s .* mod((1:numel(s))', 7)),
       sum(c(:, end)), sum(c(:)));
