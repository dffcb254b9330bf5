#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A database in memory: a table, an index, and questions that cross both.
. "$(dirname "$0")/../support/e2e.sh"
need sqlite3

rows=$(scale 170000 850000)
cat >"$dir/sql" <<SQL
PRAGMA temp_store = memory;
CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
    INSERT INTO t SELECT i, i * 2654435761 % 1000003,
    printf('%0320d', i * 40503 % 65521) FROM n;
CREATE INDEX tk ON t (k);
SELECT count(*), sum(k), sum(length(v)), min(v), max(v) FROM t;
SELECT count(*), sum(id * k % 1000), sum(substr(v, -5)) FROM t
    WHERE k BETWEEN 1000 AND 20000;
UPDATE t SET v = v || id WHERE id % 7 = 0;
DELETE FROM t WHERE id % 11 = 0;
SELECT count(*), sum(id * k % 1000), sum(length(v)) FROM t WHERE k > 990000;
SELECT count(*), sum(k), sum(substr(v, 316, 5)) FROM t;
PRAGMA integrity_check;
SQL

sqlite3 :memory: <"$dir/sql" >"$dir/native" || fail 'native run'
swapped "$(scale 48 256)" sqlite3 :memory: <"$dir/sql" >"$dir/mine"
same "$dir/mine" "$dir/native"
grep -qx ok "$dir/mine" || fail 'the database is not sound'
