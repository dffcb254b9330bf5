# SPDX-License-Identifier: BSD-2-Clause
"""jobs: the programs that are run, one function for each.  A job gets a Run
(measure.py), runs its program with a load of about run.mib MiB, and returns
whatever must be the same natively and under uswap."""
import os
import random
import string
import subprocess

from measure import MIB, Failed

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PYTHON = "/usr/bin/python3"     # Debian's, which has Debian's numpy

JOBS = {}


class Job:
    """package, version (a command, the first number in what it says), load (a
    sentence with {mib}), ram and mib: budget and size of the load in MiB,
    quick: the same for `make check`, or None."""

    def __init__(self, run, package, version, load, ram, mib, quick):
        self.name, self.run = run.__name__.rstrip("_").replace("_", "-"), run
        self.package, self.version, self.load = package, version, load
        self.ram, self.mib, self.quick = ram, mib, quick


def job(package, version, load, ram, mib, quick=None):
    def add(run):
        one = Job(run, package, version, load, ram, mib, quick)
        JOBS[one.name] = one
        return run
    return add


def work(name):
    return os.path.join(HERE, name)


def lines(run):
    """Lines of random text."""
    def make(path):
        with open(path, "wb") as f:
            subprocess.check_call(
                [os.path.join(ROOT, "build/tests/lines"), str(run.mib),
                 "1000", "1"], stdout=f)
    return run.input("lines", make)


# ---- tools ---------------------------------------------------------------------


@job("coreutils", ["sort", "--version"], "sorts {mib} MiB of lines in memory",
     128, 320)
def sort(run):
    return run(["sort", "-S", f"{run.mib * 3 // 2}M", "--parallel=2", "-o",
                "sorted", lines(run)], out="sorted")


@job("zstd", ["zstd", "--version"],
     "`zstd --long=30 -5` of {mib} MiB of random text, and back", 128, 500)
def zstd(run):
    run(["zstd", "-q", "--long=30", "-5", "--single-thread", "-o", "z",
         lines(run)], out="z")
    return run(["zstd", "-dqc", "--long=30", "z"])


@job("sqlite3", ["sqlite3", "--version"],
     "a database of {mib} MiB in memory: index, update, delete, check",
     96, 300)
def sqlite(run):
    rows = run.mib * 2500
    sql = f"""
PRAGMA temp_store = memory;
CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
    INSERT INTO t SELECT i, i * 2654435761 % 1000003,
    printf('%0320d', i * 40503 % 65521) FROM n;
CREATE INDEX tk ON t (k);
SELECT count(*), sum(k), sum(length(v)), min(v), max(v) FROM t;
UPDATE t SET v = v || id WHERE id % 7 = 0;
DELETE FROM t WHERE id % 11 = 0;
SELECT count(*), sum(id * k % 1000), sum(length(v)) FROM t WHERE k > 990000;
SELECT count(*), sum(k), sum(substr(v, 316, 5)) FROM t;
PRAGMA integrity_check;
"""
    path = run.path("sql")
    with open(path, "w") as f:
        f.write(sql)
    with open(path) as f:
        return run(["sqlite3", ":memory:"], stdin=f)


# Debian's policy is 256 MiB, and the rest in files.
POLICY = """<policymap>
<policy domain="resource" name="memory" value="8GiB"/>
<policy domain="resource" name="area" value="8GP"/>
<policy domain="resource" name="disk" value="0"/>
</policymap>
"""


@job("imagemagick", ["/usr/bin/convert", "--version"],
     "an image of {mib} MiB in memory: blurred, turned, resized", 96, 400)
def imagemagick(run):
    with open(run.path("policy.xml"), "w") as f:
        f.write(POLICY)
    side = int((run.mib * MIB / 8 / 3) ** 0.5)
    return run(["/usr/bin/convert", "-size", f"{side}x{side}", "-seed", "1",
                "gradient:red-blue", "-blur", "0x1", "-rotate", "90",
                "-resize", "50%", "-depth", "8", "rgb:image"], out="image",
               env={"MAGICK_CONFIGURE_PATH": run.dir,
                    "MAGICK_THREAD_LIMIT": "1"})


@job("ffmpeg", ["ffmpeg", "-version"],
     "{mib} MiB of frames, all kept to be shown in reverse", 96, 400)
def ffmpeg(run):
    frames = run.mib * MIB // (640 * 360 * 3 // 2)
    return run(["ffmpeg", "-v", "error", "-threads", "1", "-f", "lavfi", "-i",
                f"testsrc2=size=640x360:rate=25,format=yuv420p,"
                f"trim=end_frame={frames}", "-vf", "reverse", "-f", "framemd5",
                "-"])


# ---- compilers and languages ---------------------------------------------------


def c_source(run):
    """A long table, and some functions."""
    def make(path):
        with open(path, "w") as f:
            f.write("struct s { int a[16]; double d; const struct s *next; };\n"
                    "struct e { int k; double d; const char *name; };\n"
                    "int g(int);\nextern const struct e table[];\n"
                    "const struct e table[] = {\n")
            for i in range(run.mib * 1000):
                f.write(f'{{ {i * 7919 % 1000003}, {i}.5, "name {i}" }},\n')
            f.write("};\n")
            for i in range(run.mib):
                f.write(f"""
int f{i}(struct s *s, int n)
{{
	int i, sum = {i};
	for (i = 0; i < n; i++) {{
		s->a[i & 15] += sum * {i % 97 + 3} + g(i + {i});
		if (s->a[i & 7] > {i * 31 % 1009})
			sum ^= s->next->a[(i + {i % 13}) & 15];
		else
			s->d += sum / ({i % 7}.5 + s->next->d);
		switch (sum & 7) {{
		case 0: sum += g(sum); break;
		case {1 + i % 3}: s->next = s->next->next; break;
		case 5: sum -= s->a[{i % 16}]; break;
		}}
	}}
	return sum;
}}
""")
    return run.input("big.c", make)


@job("gcc", ["gcc", "--version"],
     "`gcc -O2` of a table with {mib} thousand entries and {mib} functions",
     128, 500, (64, 180))
def gcc(run):
    # The name is in the object.
    os.symlink(c_source(run), run.path("big.c"))
    return run(["gcc", "-O2", "-c", "-o", "big.o", "big.c"], out="big.o")


def records(run):
    """Long lines, each much like the one before it."""
    def make(path):
        draw = random.Random(1)
        with open(path, "w") as f:
            for n in range(run.mib * 500):
                if n % 500 == 0:
                    words = ["".join(draw.choices(string.ascii_letters, k=100))
                             for _ in range(20)]
                words[n % 20] = words[n % 20][:92] + f"{n:08}"
                f.write(" ".join(words) + "\n")
    return run.input("records", make)


@job("xz-utils", ["xz", "--version"],
     "`xz -9` of {mib} MiB of long lines, each much like the one before", 128, 60)
def xz(run):
    return run(["xz", "-9", "-T1", "-c", records(run)])


@job("python3", [PYTHON, "--version"],
     "{mib} MiB of strings, a list, a dictionary", 128, 300, (64, 150))
def python(run):
    return run([PYTHON, work("work.py"), "objects", run.mib])


@job("python3-numpy", [PYTHON, "-c", "import numpy; print(numpy.__version__)"],
     "numpy: {mib} MiB of numbers summed both ways, copied, sorted", 128, 400)
def numpy(run):
    return run([PYTHON, work("work.py"), "numpy", run.mib],
               env={"OPENBLAS_NUM_THREADS": "1"})


@job("perl", ["perl", "-e", "print $^V"], "{mib} MiB of strings and a hash",
     128, 250, (64, 110))
def perl(run):
    return run(["perl", work("work.pl"), run.mib],
               env={"PERL_HASH_SEED": "0"})


@job("ruby", ["ruby", "--version"], "{mib} MiB of strings and a hash", 128, 300)
def ruby(run):
    return run(["ruby", work("work.rb"), run.mib])


@job("octave", ["octave-cli", "--version"],
     "{mib} MiB of matrices: turned, sorted, summed", 128, 400)
def octave(run):
    return run(["octave-cli", "--norc", work("work.m"), run.mib],
               env={"OPENBLAS_NUM_THREADS": "1"})


@job("r-base-core", ["R", "--version"],
     "{mib} MiB of vectors, matrices, a data frame", 192, 400)
def R(run):
    return run(["Rscript", "--vanilla", work("work.R"), run.mib])


@job("nodejs", ["node", "--version"],
     "{mib} MiB of objects, a map, buffers", 192, 500)
def node(run):
    return run(["node", "--max-old-space-size=8192", work("work.js"), run.mib])


def java(run, *options):
    def make(path):
        os.mkdir(path)
        subprocess.check_call(["javac", "-d", path, work("Work.java")])
    where = run.input("java", make)
    return run(["java", *options, "-Xmx4g", "-cp", where, "Work", run.mib])


@job("openjdk-17-jdk-headless", ["java", "--version"],
     "`-XX:+UseSerialGC -Xmx4g`: {mib} MiB of objects, a map, direct buffers",
     256, 500)
def java_serial(run):
    return java(run, "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=2g")


@job("openjdk-17-jdk-headless", ["java", "--version"],
     "`-XX:+UseG1GC -Xmx4g`: the same", 256, 500)
def java_g1(run):
    return java(run, "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=2g")


@job("golang-go", ["go", "version"],
     "linked with C: {mib} MiB of objects, a map, slices", 192, 400)
def go(run):
    def make(path):
        subprocess.check_call(
            ["go", "build", "-o", path, work("work.go")],
            env={**os.environ, "CGO_ENABLED": "1", "GOFLAGS": "-mod=mod",
                 "GOCACHE": os.path.join(run.shared, "gocache")})
    return run([run.input("work-go", make), run.mib])


def stressors(mib):
    """Left out of --vm: the methods that step by a large prime, one byte of a page
    at a time; a pass over 128 MiB is 128 million random pages."""
    which = subprocess.run(["stress-ng", "--vm-method", "which"],
                           capture_output=True, check=False).stderr.decode()
    methods = [m for m in which.partition(":")[2].split()
               if m != "all" and not m.startswith("prime-")]
    if len(methods) < 20:
        raise Failed("it names no methods")
    for method in methods:
        yield "--vm", 1, "--vm-bytes", f"{mib}m", "--vm-method", method
    for name in "mremap", "vm-rw":
        yield f"--{name}", 1, f"--{name}-bytes", f"{mib}m"


@job("stress-ng", ["stress-ng", "--version"],
     "`--verify` with {mib} MiB: methods of `--vm`, `--mremap`, `--vm-rw`, each "
     "for 1 s, under uswap 2 s", 32, 128)
def stress_ng(run):
    """Its exit code is 2 when it finds what it has not written."""
    for options in stressors(run.mib):
        run(["stress-ng", *options, "--verify", "--timeout",
             2 if run.uswap else 1], silent=True)
        with open(run.errors) as f:
            if "stress-ng: fail" in f.read():
                raise Failed(f"WRONG: {options} finds what it has not written")
    return "right"
