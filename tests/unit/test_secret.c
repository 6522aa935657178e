/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kms/crypto/secret.h"

/* In a process of its own that may lock LIMIT bytes: does it get secret memory? */
static int outcome_with_limit(rlim_t limit)
{
	const struct rlimit memlock = { limit, limit };
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		/* Root may lock whatever it likes. */
		if (setrlimit(RLIMIT_MEMLOCK, &memlock) < 0 ||
		    (geteuid() == 0 && setuid(65534) < 0))
			_exit(10);

		int r = secret_init();
		bool has_memory = secret_alloc(32) != NULL;

		_exit(r == 0 && has_memory ? 0 : r == -ENOMEM && !has_memory ? 1 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void without_secret_init_there_is_no_secret_memory(void **state)
{
	assert_null(secret_alloc(32));
}

static void secret_init_fails_where_memory_cannot_be_locked(void **state)
{
	assert_int_equal(outcome_with_limit(0), 1);
	assert_int_equal(outcome_with_limit(64 << 10), 1);
}

static void secret_init_is_content_with_a_smaller_heap(void **state)
{
	assert_int_equal(outcome_with_limit(512 << 10), 0);
	assert_int_equal(outcome_with_limit(8 << 20), 0);
}

static void secret_init_may_be_called_again(void **state)
{
	assert_int_equal(secret_init(), 0);
	assert_int_equal(secret_init(), 0);
}

static void secret_memory_is_on_the_locked_heap_and_zero(void **state)
{
	uint8_t *memory = secret_alloc(100);

	assert_non_null(memory);
	assert_true(CRYPTO_secure_allocated(memory));
	assert_true(bytes_are_zero((struct bytes){ memory, 100 }));
	secret_free(memory);
	assert_null(secret_alloc(0));
	secret_free(NULL);
}

/* The mapping that holds ADDRESS: is one of its lines in /proc/self/smaps WORD? */
static bool mapping_says(const void *address, const char *line_start, const char *word)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512];
	bool is_inside = false;
	bool is_found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long begin;
		unsigned long end;

		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			is_inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
		else if (is_inside && strncmp(line, line_start, strlen(line_start)) == 0)
			is_found |= strstr(line, word) != NULL;
	}
	fclose(maps);
	return is_found;
}

static void secret_memory_is_locked_and_not_dumped(void **state)
{
	uint8_t *memory = secret_alloc(32);

	assert_non_null(memory);
	assert_true(mapping_says(memory, "VmFlags:", " lo"));
	assert_true(mapping_says(memory, "VmFlags:", " dd"));
	secret_free(memory);
}

static void secret_free_wipes(void **state)
{
	uint8_t *memory = secret_alloc(64);

	assert_non_null(memory);
	memset(memory, 0x5a, 64);
	secret_free(memory);

	/* The heap stays mapped; its free list takes the first two words of a free piece. */
	const volatile uint8_t *after = memory;

	for (size_t i = 2 * sizeof(void *); i < 64; i++)
		assert_int_equal(after[i], 0);
}

static void a_full_heap_gives_no_ordinary_memory(void **state)
{
	void *pieces[1100];
	size_t count = 0;

	while (count < ARRAY_SIZE(pieces) && (pieces[count] = secret_alloc(4096)) != NULL)
		count++;
	assert_true(count >= 60 && count < ARRAY_SIZE(pieces));
	for (size_t i = 0; i < count; i++)
		secret_free(pieces[i]);
	pieces[0] = secret_alloc(4096);
	assert_non_null(pieces[0]);
	secret_free(pieces[0]);
}

static void secrets_know_their_size(void **state)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	CLEANUP(secret_cleanup) struct secret *copy = NULL;
	struct secret *large = NULL;

	assert_int_equal(secret_new(33, &secret), 0);
	assert_int_equal(secret_bytes(secret).size, 33);
	assert_true(bytes_are_zero(secret_bytes(secret)));
	memcpy(secret_data(secret), "key", 3);
	assert_int_equal(secret_copy(secret_bytes(secret), &copy), 0);
	assert_true(bytes_equal(secret_bytes(secret), secret_bytes(copy)));
	assert_true(CRYPTO_secure_allocated(secret_data(copy)));
	assert_int_equal(secret_new(SIZE_MAX, &large), -ENOMEM);
	assert_int_equal(secret_new((size_t)1 << 40, &large), -ENOMEM);
	assert_null(large);
}

static void secret_equal_compares_and_secret_wipe_wipes(void **state)
{
	uint8_t a[20] = "nineteen characters";
	uint8_t b[20] = "nineteen characters";

	assert_true(secret_equal(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 1;
		assert_false(secret_equal(a, b, sizeof(a)));
		b[i] ^= 1;
	}
	assert_true(secret_equal(a, "x", 0));
	secret_wipe(a, sizeof(a));
	assert_true(bytes_are_zero((struct bytes){ a, sizeof(a) }));
	secret_wipe(NULL, 0);
}

/* The first ones need a process without the heap: the order counts. */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_secret_init_there_is_no_secret_memory),
		cmocka_unit_test(secret_init_fails_where_memory_cannot_be_locked),
		cmocka_unit_test(secret_init_is_content_with_a_smaller_heap),
		cmocka_unit_test(secret_init_may_be_called_again),
		cmocka_unit_test(secret_memory_is_on_the_locked_heap_and_zero),
		cmocka_unit_test(secret_memory_is_locked_and_not_dumped),
		cmocka_unit_test(secret_free_wipes),
		cmocka_unit_test(a_full_heap_gives_no_ordinary_memory),
		cmocka_unit_test(secrets_know_their_size),
		cmocka_unit_test(secret_equal_compares_and_secret_wipe_wipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
