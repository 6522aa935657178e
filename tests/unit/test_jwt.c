/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens, against one that another program signed with the same key; RS256 has one signature only. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/jwt.h"

/* Made for this test. */
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
			      "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCPmIYMxl8xADiv\n"
			      "e97GtLgbMFMOVIPJF/pE7yvB4J51UoT/fOX/mv0aOSjALH71F2rvMQvjrSBHOAHL\n"
			      "PysORqnbPTya2zG0EwnIuJYpGpVeOy5S02cGU0WE81qATj2scIY+Ykl4eLRP4w6h\n"
			      "EnDOmX0KggVUUblIc8DE3CEFpuWfzECqLvVaRhBWZLB2neDIf620+3Yc+1gGIEfE\n"
			      "lQ+AlHrxTRmpG1iiRqUUNB+tBKe0nlknKVEF8pVKQ5xDR0R1fVePXUT1BNlGGNO1\n"
			      "ShBk4KHSMN/jayxAgvzGmy2EQuKcXRg+goev4DCudZh3hF4H1+CfpGNnn+hBxNgT\n"
			      "tYOBWD65AgMBAAECggEAAsF3ukFSDKKwc82ww6d3o1KCqhxPZEm2p9iWC4jAAb8/\n"
			      "qrwaUCctTE0/8mJ6gdPmXXZ8EjZ9fTvVWrHB7up9ZJO3tFEYkoXWcIRDfXeX/j5j\n"
			      "XcSx+77OgZhjIWIV3g52MsjcqmF9fYQiAOHoAE8C6ipsnp2i44Gi5W1ooEFtaiHr\n"
			      "sehhJsRN8IguGtuZaEMjVaZ+AJ72eqwg3iQTk0lL23B7kZxXnXCxvcdDCK9TaE6q\n"
			      "3WFXHEnnDc/3GojPy/WAgAI29RHDIylh0Vm+elKxXjZICLr2vIEga3Vt57r4TwKM\n"
			      "c/IAyDDKjUAazMVe3PqN+4DQa0U17bBZJUL510YsMQKBgQDJ5fkewHLL0qDy4GB0\n"
			      "cdpVjOyRGFgoZDFeaPAi9G/ywUjM87LHY1UMOpXhz+ibmd30dOhHzpKa/248m1xn\n"
			      "Q0+mP22kFG1pQkla04PxPRc0i0+Ti2H2AkeIhitKvZO59BHCdDJw8VcpBQIryBKi\n"
			      "bcxL0DYdugV+7a/MvAgxsHtaHwKBgQC2Ew3JSFgRKu/eADN7mnXa9kEYYBgHZ7Zc\n"
			      "oBNNcpwKidsYSqc99BfMGuWbgTWAJBlsXPTebmqUWIZx34f9myzmvYef3CQ/cQlt\n"
			      "oAf9EA3DoL5L9qe8V2IdIdHkDVbe+oaliX47hGiaQ17xkQ1uW8NUxPmg2TynUD7r\n"
			      "uirioUn8JwKBgQCHsdAocfH1uX/BHTrWqHq0yv1oW3NM2mIv8NmMtLrU7kFOtm+v\n"
			      "ALz1dh6sYT8V7Wk21qgTMuxnzks54rVNFflfY/v9rlkGyK1ipQxlw8hn4UW/hYt2\n"
			      "e3u2b26DUj0KWtbg2ZXZQOtyv1IBOPwFPUR0o+DrQ85Ty84/DRV4yANvwwKBgHAN\n"
			      "h+WBVVmzcA3TV9vQ8olAFk23DfK4vD2C8n4uc6P0tVbc0tJI/8BIKViri06CaPcM\n"
			      "ulKN55/GX2+DXwEP1/FlYStb4x78JQ5Hd8MhdycXLSY49X/u014Ua0ULhJQT4HvO\n"
			      "A1cDpRCTN8I5P+fUJ4Fq/Comp7Jcq2yNlUkGdC7vAoGAa5ugj17WP3UkbwJuvRKA\n"
			      "1J7lfxlGutjbFVX9zPjybxevzQMQYliu7xrKZo38rQB6v1MaTtlObZIc3hp7KQK6\n"
			      "sE87yHVsYhV2Xan14jiXwIPqlPUCA7eSk5ewCb3u2ghpO2F9OrOfCIHtspVxKs5f\n"
			      "JhlupVwmJb40izrH3MTwTz0=\n"
			      "-----END PRIVATE KEY-----\n";
static const char expected[] =
	"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ.eyJpc3MiOiJhQGIiLCJhdWQiO"
	"iJodHRwczovL3gvdG9rZW4iLCJpYXQiOjEsImV4cCI6MzYwMX0"
	"."
	"OkgAsBAaEPyGi0JrDX1EXL5R5jPTjJgmcUll_c29wZ9KsORv10ILIF7uHX1Y05HTYiUAsdg0P6pa"
	"gYjLMwbciMWrQfBi0vZq2Dh8gYQg8m_oj94OHPIPI0rePn84VGHgt20a78kMgmF2OHe73oIflpk-"
	"Nf8S-pwz8_gzTxWA31HnsR1MgurdJZ-RbDQWlqNAeFXUyxHZ4Kj123TpwNbWNGme2OoQ2SFCSvur"
	"-iPytU_kfd4q6xozoZwy3dceaKlIQMm1lME0q1fazh4ou4SiBYCGXEiUlG6eB5vR6D2WLWdUthz5"
	"18bsI65K4g7Lu3SSq_vL20lyLkp-OiDTf3E9rw";

static void jwt_matches_another_program(void **state)
{
	CLEANUP(rsa_key_cleanup) struct rsa_key *key = NULL;
	struct text token = { 0 };

	assert_int_equal(rsa_private_from_pem(bytes_from_text(key_pem), NULL, &key), 0);
	text_add(&token, "before ");
	assert_int_equal(
		jwt_sign(key, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k\"}",
			 "{\"iss\":\"a@b\",\"aud\":\"https://x/token\",\"iat\":1,\"exp\":3601}",
			 &token),
		0);
	assert_string_equal(token.data + strlen("before "), expected);
	text_free(&token);
}

static void a_key_without_a_certificate_has_no_thumbprint(void **state)
{
	uint8_t digest[RSA_THUMBPRINT_SIZE];

	assert_int_equal(rsa_certificate_thumbprint(bytes_from_text(key_pem), digest), -EBADMSG);
	assert_int_equal(rsa_certificate_thumbprint(bytes_from_text(""), digest), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jwt_matches_another_program),
		cmocka_unit_test(a_key_without_a_certificate_has_no_thumbprint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
