# SPDX-License-Identifier: BSD-2-Clause
# work.R MIB: fills about that much memory with vectors, matrices and a data
# frame, and says what it found there.
mib <- as.integer(commandArgs(TRUE)[1])
n <- mib * 131072L %/% 4L
x <- (seq_len(n) * 7919) %% 1000003
y <- sort(x)
stopifnot(!is.unsorted(y))
side <- as.integer(sqrt(n))
m <- matrix(x[seq_len(side * side)], side)
t <- t(m)
d <- data.frame(k = x[seq_len(n %/% 16)] %% 1000, v = seq_len(n %/% 16))
a <- aggregate(v ~ k, d, sum)
cat(sprintf("%.0f", c(sum(x), sum(y * (seq_along(y) %% 7)), sum(m[, 1]), sum(t[, side]),
    sum(abs(t(t) - m)), sum(a$v * a$k))), "\n")
