/* SPDX-License-Identifier: Apache-2.0 */
/* The few macros that every file may use. */
#ifndef SNAPCRYPT_META_MACROS_H
#define SNAPCRYPT_META_MACROS_H

/* The caller must look at the result. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Call F with the variable's address when it goes out of scope. */
#define CLEANUP(f) __attribute__((cleanup(f)))

/* The value of pointer P, which becomes NULL: ownership moves on. */
#define TAKE(p)                            \
	__extension__({                    \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
