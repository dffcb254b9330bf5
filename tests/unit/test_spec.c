/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spec: what is accepted means what it says; what is refused is refused with
 * a sentence about the piece that is wrong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "block/block.h"

#define MIB ((uint64_t)1 << 20)

static void
accepts(const char *text, const char *path, uint64_t size, int prio)
{
	struct blkspec sp;
	char err[256] = "";

	if (blkspec_parse(text, &sp, err, sizeof(err)) != 0)
		fail_msg("\"%s\" refused: %s", text, err);
	assert_string_equal(sp.path, path);
	assert_int_equal(sp.size, size);
	assert_int_equal(sp.prio, prio);
}

/* Refused, and the sentence contains `about`. */
static void
refuses(const char *text, const char *about)
{
	struct blkspec sp;
	char err[256] = "";

	assert_int_equal(blkspec_parse(text, &sp, err, sizeof(err)), -EINVAL);
	if (strstr(err, about) == NULL)
		fail_msg(
		    "\"%s\": \"%s\" is not about \"%s\"", text, err, about);
}

static void
test_accepted(void **state)
{
	(void)state;
	accepts("/swap", "/swap", 0, 0);
	accepts("swap,size=512M", "swap", 512 * MIB, 0);
	accepts("swap,prio=5", "swap", 0, 5);
	accepts("swap,size=16G,prio=32767", "swap", 16384 * MIB, 32767);
	accepts("swap,prio=0,size=1.5G", "swap", 1536 * MIB, 0);
	accepts("/a=b/size=1", "/a=b/size=1", 0, 0);
	accepts("swap,size=65536", "swap", 65536, 0);
	accepts("swap,size=15T", "swap", 15 * MIB * MIB, 0);
}

static void
test_refused(void **state)
{
	(void)state;
	refuses("", "PATH");
	refuses(",size=1G", "PATH");
	refuses("swap,", "not an option");
	refuses("swap,,prio=1", "not an option");
	refuses("swap,colour=red", "colour=red");
	refuses("swap,size", "not an option");
	refuses("swap,Size=1G", "not an option");
	refuses("swap,size=1G,size=1G", "twice");
	refuses("swap,prio=1,size=1G,prio=2", "twice");
	refuses("swap,size=", "not a size");
	refuses("swap,size=G", "not a size");
	refuses("swap,size=-1", "not a size");
	refuses("swap,size=1X", "not a size");
	refuses("swap,size=0", "too small");
	refuses("swap,size=60K", "too small");
	refuses("swap,size=65535", "too small");
	refuses("swap,size=16T", "too large");
	refuses("swap,size=99999999999999999999", "too large");
	refuses("swap,size=18446744073709551615", "too large");
	refuses("swap,prio=", "not a priority");
	refuses("swap,prio=-1", "not a priority");
	refuses("swap,prio=+1", "not a priority");
	refuses("swap,prio=1x", "not a priority");
	refuses("swap,prio=32768", "not a priority");
	refuses("swap,prio=4294967296", "not a priority");
}

static void
test_crypt(void **state)
{
	struct blkspec sp;
	char err[256];

	(void)state;
	assert_int_equal(blkspec_parse("swap", &sp, err, sizeof(err)), 0);
	assert_false(sp.crypt);
	assert_int_equal(
	    blkspec_parse("swap,crypt,size=1M", &sp, err, sizeof(err)), 0);
	assert_true(sp.crypt);
	assert_int_equal(sp.size, MIB);
	assert_int_equal(
	    blkspec_parse("nbd://h/x,prio=1,crypt", &sp, err, sizeof(err)), 0);
	assert_true(sp.crypt && sp.nbd);
	refuses("swap,crypt,crypt", "twice");
	refuses("swap,crypt=1", "no value");
	refuses("swap,crypted", "no value");
	refuses("swap,cryp", "not an option");
}

static void
accepts_nbd(const char *text, const char *uri, unsigned timeout)
{
	struct blkspec sp;
	char err[256] = "";

	if (blkspec_parse(text, &sp, err, sizeof(err)) != 0)
		fail_msg("\"%s\" refused: %s", text, err);
	assert_string_equal(sp.path, uri);
	assert_true(sp.nbd);
	assert_int_equal(sp.timeout, timeout);
}

static void
accepts_file(const char *text)
{
	struct blkspec sp;
	char err[256] = "";

	assert_int_equal(blkspec_parse(text, &sp, err, sizeof(err)), 0);
	assert_false(sp.nbd);
}

static void
test_nbd(void **state)
{
	(void)state;
	accepts_nbd("nbd://host", "nbd://host", 0);
	accepts_nbd("nbd://host:10810/x,timeout=5", "nbd://host:10810/x", 5);
	accepts_nbd("nbds://[::1]/", "nbds://[::1]/", 0);
	accepts_nbd("nbd+unix:///x?socket=/s,prio=3,timeout=3600",
	    "nbd+unix:///x?socket=/s", 3600);
	accepts_nbd("nbds+unix:///?tls-psk-file=/p&socket=/s,size=1G",
	    "nbds+unix:///?tls-psk-file=/p&socket=/s", 0);
	accepts("nbd://host/x,size=1M,prio=2", "nbd://host/x", MIB, 2);
	accepts_file("nbd");
	accepts_file("nbd:x");
	accepts_file("nbd/x://y");
	accepts_file("./nbd://x");
	accepts_file("/nbd://x");
	refuses("nbd://", "no host");
	refuses("nbd:///x", "no host");
	refuses("nbds://?socket=/s", "no host");
	refuses("nbd+unix:///", "whole path");
	refuses("nbd+unix:///?socket=s", "whole path");
	refuses("nbd+unix:///socket=/s", "whole path");
	refuses("nbd+unix:///?xsocket=/s", "whole path");
	refuses("nbd+vsock://1", "not a kind");
	refuses("nbdx://h", "not a kind");
	refuses("nbd://h,timeout=", "not a time");
	refuses("nbd://h,timeout=0", "not a time");
	refuses("nbd://h,timeout=3601", "not a time");
	refuses("nbd://h,timeout=4294967297", "not a time");
	refuses("nbd://h,timeout=5s", "not a time");
	refuses("nbd://h,timeout=5,timeout=5", "twice");
	refuses("swap,timeout=5", "only an NBD export");
}

static void
test_lengths(void **state)
{
	struct blkspec sp;
	char text[2000], err[256], tiny[8];

	(void)state;
	memset(text, 'p', sizeof(text));
	text[sizeof(sp.path) - 1] = '\0';
	accepts(text, text, 0, 0);
	text[sizeof(sp.path) - 1] = 'p';
	text[sizeof(sp.path)] = '\0';
	refuses(text, "1024 bytes");

	memcpy(text, "swap,size=", 10);
	memset(text + 10, '0', 100);
	text[110] = '\0';
	refuses(text, "100 characters");

	/* A sentence is cut, not written past its end. */
	memset(tiny, 'x', sizeof(tiny));
	assert_int_equal(blkspec_parse("", &sp, tiny, 4), -EINVAL);
	assert_int_equal(tiny[3], '\0');
	assert_int_equal(tiny[4], 'x');
	assert_int_equal(blkspec_parse(text, &sp, err, sizeof(err)), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accepted),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_crypt),
	    cmocka_unit_test(test_nbd),
	    cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
