/* SPDX-License-Identifier: Apache-2.0 */
/* The header of an encrypted file, with its MAC and key.  Format: meta/FORMAT.md, section 4. */
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/store/file_internal.h"

#define INDEX_ATTRIBUTE "user.snapcrypt.data_key_id"

int header_seal(const struct header *header, const struct dek *dek,
		uint8_t data[static HEADER_SIZE])
{
	header_encode(header, data);

	const struct bytes input = header_mac_input(data);

	return dek_mac(dek, DEK_LABEL_HEADER, &input, 1, header_mac_slot(data));
}

int header_parse(const struct store *store, struct bytes data, struct header *ret_header,
		 const char **reterr_fault)
{
	const struct volume_record *volume = store_volume(store);
	const struct header_expectation expected = {
		.volume = volume->volume,
		.algorithm = volume->algorithm,
		.block_size_log2 = store_layout(store)->block_size_log2,
	};

	return header_decode(data, &expected, ret_header, reterr_fault);
}

int header_verify(const uint8_t data[static HEADER_SIZE], const struct dek *dek)
{
	const struct bytes input = header_mac_input(data);

	return dek_mac_verify(dek, DEK_LABEL_HEADER, &input, 1, header_mac(data));
}

int header_key(const struct header *header, const struct dek *dek, struct aead_key **ret_key)
{
	struct file_key_spec spec = {
		.algorithm = (enum aead_algorithm)header->algorithm,
		.block_size_log2 = header->block_size_log2,
	};

	memcpy(spec.content_id, header->content_id, sizeof(spec.content_id));
	return dek_file_key(dek, &spec, ret_key);
}

int header_empty_file(const struct header *header, const struct dek *dek,
		      const struct aead_key *key, uint8_t data[static LAYOUT_EMPTY_FILE_SIZE])
{
	const struct aead_run run = {
		.block_size = (size_t)1 << header->block_size_log2,
		.block_count = 1,
	};
	int r = header_seal(header, dek, data);

	if (r < 0)
		return r;
	return aead_seal_blocks(key, &run, (struct bytes){ 0 }, data + HEADER_SIZE);
}

int file_make_sparse(struct file *file)
{
	struct header header = file->header;
	uint8_t data[HEADER_SIZE];

	if (header.is_sparse)
		return 0;
	header.is_sparse = true;
	int r = header_seal(&header, file->dek, data);

	if (r < 0)
		return r;
	/* One sector: it is there as a whole or not at all. */
	r = write_all(file->fd, data, sizeof(data), 0, NULL);
	if (r < 0)
		return r;
	/* The first hole must never be durable before the flag that explains it. */
	if (file->covered_size > 0 && fdatasync(file->fd) < 0)
		return -errno;
	file->header.is_sparse = true;
	return 0;
}

void file_write_index(int fd, const struct uuid *dek_id)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(dek_id, text);
	/* verify reports a missing one, repair writes it again. */
	if (fsetxattr(fd, INDEX_ATTRIBUTE, text, UUID_TEXT_SIZE - 1, 0) < 0)
		return;
}
