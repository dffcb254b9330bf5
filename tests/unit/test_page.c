/* SPDX-License-Identifier: BSD-2-Clause */
/* page: descriptors and the queues they stand in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "page/page.h"
#include "support/death.h"

#define MAX 8

static struct pages ps;

static int
setup(void **state)
{
	(void)state;
	return pages_init(&ps, MAX);
}

static int
teardown(void **state)
{
	(void)state;
	pages_destroy(&ps);
	return 0;
}

static void
test_alloc(void **state)
{
	struct page *p[MAX];

	(void)state;
	for (uint32_t i = 0; i < MAX; i++) {
		p[i] = page_alloc(&ps, 7, i);
		assert_non_null(p[i]);
		assert_int_equal(page_no(&ps, p[i]), i + 1);
		assert_ptr_equal(page_of(&ps, i + 1), p[i]);
		assert_true(p[i]->object == 7 && p[i]->pindex == i);
		assert_true(
		    p[i]->flags == PG_BUSY && p[i]->frame == FRAME_NONE);
		page_check(p[i]);
	}
	assert_null(page_alloc(&ps, 7, MAX));
	page_free(&ps, p[3]);
	assert_ptr_equal(page_alloc(&ps, 8, 0), p[3]);
	assert_int_equal(sizeof(struct page), 24);
}

/* Oldest first, and any of them can be taken out. */
static void
test_queue_order(void **state)
{
	struct page *p[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		p[i] = page_alloc(&ps, 1, i);
		p[i]->flags = 0;
		page_enqueue(&ps, p[i], PQ_ACTIVE);
	}
	pages_check(&ps);
	page_dequeue(&ps, p[1]);
	assert_ptr_equal(pageq_first(&ps, PQ_ACTIVE), p[0]);
	assert_ptr_equal(pageq_next(&ps, p[0]), p[2]);
	page_dequeue(&ps, p[0]);
	page_dequeue(&ps, p[3]);
	assert_ptr_equal(pageq_first(&ps, PQ_ACTIVE), p[2]);
	assert_null(pageq_next(&ps, p[2]));
	page_enqueue(&ps, p[0], PQ_ACTIVE);
	assert_ptr_equal(pageq_next(&ps, p[2]), p[0]);
	assert_int_equal(ps.q[PQ_ACTIVE].count, 2);
	assert_null(pageq_first(&ps, PQ_LAUNDRY));
	pages_check(&ps);
}

static void
enqueue_twice(void *arg)
{
	page_enqueue(&ps, arg, PQ_ACTIVE);
	page_enqueue(&ps, arg, PQ_INACTIVE);
}

static void
free_queued(void *arg)
{
	page_enqueue(&ps, arg, PQ_ACTIVE);
	page_free(&ps, arg);
}

static void
free_idle(void *arg)
{
	((struct page *)arg)->flags = 0;
	page_free(&ps, arg);
}

static void
check(void *arg)
{
	page_check(arg);
}

static void
test_misuse(void **state)
{
	struct page *p = page_alloc(&ps, 1, 1);

	(void)state;
	assert_aborts(enqueue_twice, p);
	assert_aborts(free_queued, p);
	assert_aborts(free_idle, p);
	p->state = PS_LAUNDRY; /* without a frame and not being written */
	assert_aborts(check, p);
	p->state = PS_ACTIVE;
	p->flags = 0;
	p->frame = 3;
	assert_aborts(check, p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_alloc, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_queue_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_misuse, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
