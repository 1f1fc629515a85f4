/* SPDX-License-Identifier: Apache-2.0 */

/* The built module, driven through the runner's interface. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "lba_status.h"
#include "module_fixture.h"
#include "sense.h"
#include "unmap_list.h"
#include "volume.h"

static void assert_says(const char *text, const char *words)
{
    if (!strstr(text, words))
        fail_msg("the message '%s' lacks '%s'", text, words);
}

/* check_config refuses and says so. */
static void assert_refused(const char *config, const char *words)
{
    char *reason = NULL;

    if (handler->check_config(config, &reason))
        fail_msg("'%s' was accepted", config);
    assert_non_null(reason);
    assert_says(reason, words);
    free(reason);
}

static void assert_sense(const struct host_command *command, uint8_t key, uint16_t asc_ascq)
{
    struct sense sense;

    assert_int_equal(command->status, TCMU_STS_PASSTHROUGH_ERR);
    assert_int_equal(sense_decode(command->sense, sizeof(command->sense), &sense), 0);
    assert_int_equal(sense.key, key);
    assert_int_equal(sense.asc_ascq, asc_ascq);
}

static void the_handler_leaves_nothing_to_the_runner(void **state)
{
    (void)state;
    assert_string_equal(handler->subtype, "thin");
    assert_int_equal(handler->nr_threads, 0);
    assert_non_null(strstr(handler->cfg_desc, "/ABSOLUTE/PATH"));
    for (size_t i = 0; i < sizeof(handler->not_used_io) / sizeof(void *); i++)
        assert_null(handler->not_used_io[i]);
    for (size_t i = 0; i < sizeof(handler->not_used_events) / sizeof(void *); i++)
        assert_null(handler->not_used_events[i]);
    assert_false(handler->is_dbus_handler);
}

static void a_good_config_is_accepted_and_leaves_no_lock(void **state)
{
    char *reason = NULL;

    (void)state;
    assert_true(handler->check_config(cfgstring, &reason));
    assert_true(handler->check_config(cfgstring, &reason));
    assert_null(reason);
}

static void a_bad_config_is_refused_with_a_sentence(void **state)
{
    char config[256], path[128];

    (void)state;
    assert_refused("thin/srv/volume", "is relative");
    snprintf(config, sizeof(config), "%s;speed=9", cfgstring);
    assert_refused(config, "unknown option 'speed'");
    snprintf(config, sizeof(config), "thin/%s/absent", folder);
    assert_refused(config, "thinvol create");
    assert_refused(config, "/absent");
    snprintf(config, sizeof(config), "thin/%s", folder);
    assert_refused(config, "directory");
    snprintf(path, sizeof(path), "%s/raw", folder);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600)), 0);
    assert_int_equal(truncate(path, 1 << 20), 0);
    snprintf(config, sizeof(config), "thin/%s", path);
    assert_refused(config, "thinvol create");
    unlink(path);
}

static void a_missing_volume_is_not_created(void **state)
{
    struct host_device *device;
    char config[256];

    (void)state;
    unlink(volume_path);
    snprintf(config, sizeof(config), "thin/%s", volume_path);
    assert_int_equal(host_add(config, 512, VOLUME_BYTES, &device), -ENOENT);
    assert_says(host_log(), "thinvol create");
    assert_int_equal(access(volume_path, F_OK), -1);
}

static void another_size_than_the_volumes_is_refused(void **state)
{
    struct host_device *device;

    (void)state;
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES + 512, &device), -EINVAL);
    assert_says(host_log(), "is 67108864 bytes, but 67109376 are configured");
    assert_says(host_log(), "size=67108864");
    host_log_clear();
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES + 100, &device), -EINVAL);
    assert_says(host_log(), "67108964 bytes is no multiple of the block size of 512 bytes");
}

/* The runner cuts lines at 255 bytes, and its own prefix may take 150 of them. */
static void a_long_message_is_logged_in_pieces(void **state)
{
    struct host_device *device;
    char config[256];

    (void)state;
    snprintf(config, sizeof(config), "thin/%s/%0*d", folder, 180, 0);
    assert_int_equal(host_add(config, 512, VOLUME_BYTES, &device), -ENOENT);
    assert_in_range(host_log_longest(), 20, 100);
    assert_says(host_log(), "does not exist");
    assert_says(host_log(), "thinvol create");
    assert_says(host_log(), "SIZE");
}

static void another_block_size_than_the_volumes_is_refused(void **state)
{
    struct host_device *device;

    (void)state;
    make_volume(4096);
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES, &device), -EINVAL);
    assert_says(host_log(), "blocks of 4096 bytes, but 512 are configured");
    assert_says(host_log(), "control=hw_block_size=4096");
    host_remove(serve(cfgstring, 4096));
}

static void a_volume_is_served_once(void **state)
{
    struct host_device *first = serve(cfgstring, 512), *second;
    char holder[32];

    (void)state;
    snprintf(holder, sizeof(holder), "%d", (int)getpid());
    assert_refused(cfgstring, holder);
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES, &second), -EBUSY);
    assert_says(host_log(), holder);
    host_remove(first);
    host_remove(serve(cfgstring, 512));
}

static void a_copy_with_the_same_uuid_is_not_served_beside_the_first(void **state)
{
    struct host_device *first = serve(cfgstring, 512), *second;
    char copy[96], config[128], command[512];

    (void)state;
    snprintf(copy, sizeof(copy), "%s.copy", volume_path);
    snprintf(config, sizeof(config), "thin/%s", copy);
    snprintf(command, sizeof(command), "cp '%s' '%s' && cp '%s.thin' '%s.thin'", volume_path, copy,
             volume_path, copy);
    assert_int_equal(system(command), 0);
    assert_refused(config, volume_path);
    host_log_clear();
    assert_int_equal(host_add(config, 512, VOLUME_BYTES, &second), -EEXIST);
    assert_says(host_log(), volume_path);
    assert_says(host_log(), "thinvol new-id ");
    host_remove(first);
    second = serve(config, 512);
    assert_refused(cfgstring, copy);
    host_remove(second);
    unlink(copy);
    snprintf(copy, sizeof(copy), "%s.copy.thin", volume_path);
    unlink(copy);
}

static void one_volume_is_served_twice_for_reading(void **state)
{
    struct host_device *first, *second;
    char config[160];

    (void)state;
    snprintf(config, sizeof(config), "%s;ro", cfgstring);
    first = serve(config, 512);
    second = serve(config, 512);
    host_remove(first);
    host_remove(second);
}

static void data_written_is_read_back_after_reopening(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    unsigned char out[4096], in[4096];

    (void)state;
    memset(out, 0x5a, sizeof(out));
    write_blocks(device, 100, out, 8, 512);
    read_blocks(device, 100, in, 8, 512);
    assert_memory_equal(in, out, sizeof(in));
    host_remove(device);
    device = serve(cfgstring, 512);
    memset(in, 0, sizeof(in));
    read_blocks(device, 100, in, 8, 512);
    assert_memory_equal(in, out, sizeof(in));
    host_remove(device);
}

static void scattered_buffers_are_filled_in_order(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    unsigned char out[4096], in[4096];

    (void)state;
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (unsigned char)(i * 7 + i / 256);
    cdb_write_16(command.cdb, 0, 8, false);
    command.iov[0] = (struct iovec){.iov_base = out, .iov_len = 700};
    command.iov[1] = (struct iovec){.iov_base = out + 700, .iov_len = 3300};
    command.iov[2] = (struct iovec){.iov_base = out + 4000, .iov_len = 96};
    command.iov_count = 3;
    host_submit(device, &command);
    host_wait(device, &command);
    assert_int_equal(command.status, TCMU_STS_OK);
    cdb_read_16(command.cdb, 0, 8);
    command.iov[0] = (struct iovec){.iov_base = in, .iov_len = 4095};
    command.iov[1] = (struct iovec){.iov_base = in + 4095, .iov_len = 1};
    command.iov_count = 2;
    host_submit(device, &command);
    host_wait(device, &command);
    assert_int_equal(command.status, TCMU_STS_OK);
    assert_memory_equal(in, out, sizeof(in));
    host_remove(device);
}

static void inquiry_fills_its_whole_buffer(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    unsigned char in[512];

    (void)state;
    memset(in, 0xee, sizeof(in));
    cdb_inquiry(command.cdb, 255);
    assert_int_equal(host_execute(device, &command, in, sizeof(in)), TCMU_STS_OK);
    assert_int_equal(in[0], 0); /* a direct-access block device */
    assert_int_equal(in[511], 0);
    assert_int_equal(in[in[4] + 5], 0);
    host_remove(device);
}

/* The status of the extent at lba, and where it ends, in blocks. */
static enum extent_status lba_status(struct host_device *device, uint64_t lba, uint64_t *ret_end)
{
    struct host_command command = {0};
    struct extent_list list = {0};
    enum lba_status_defect defect;
    enum extent_status status;
    unsigned char in[1024];
    uint64_t next;

    cdb_get_lba_status_16(command.cdb, lba, sizeof(in));
    assert_int_equal(host_execute(device, &command, in, sizeof(in)), TCMU_STS_OK);
    assert_int_equal(lba_status_decode(in, sizeof(in), lba, VOLUME_BYTES / 512, &list, &next,
                                       &defect),
                     0);
    assert_true(list.count > 0);
    status = list.items[0].status;
    *ret_end = lba + list.items[0].length;
    extent_list_free(&list);
    return status;
}

static void the_kernel_is_told_how_long_a_reply_is_that_does_not_fill_its_buffer(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    uint8_t reply[512];

    (void)state;
    cdb_inquiry(command.cdb, 255);
    assert_int_equal(host_execute(device, &command, reply, 255), TCMU_STS_OK);
    assert_int_equal(command.read_bytes, 5 + reply[4]);
    cdb_inquiry(command.cdb, 36);
    assert_int_equal(host_execute(device, &command, reply, 36), TCMU_STS_OK);
    assert_int_equal(command.read_bytes, 0);
    cdb_read_16(command.cdb, 0, 1);
    assert_int_equal(host_execute(device, &command, reply, sizeof(reply)), TCMU_STS_OK);
    assert_int_equal(command.read_bytes, 0);
    cdb_write_16(command.cdb, 0, 1, false);
    assert_int_equal(host_execute(device, &command, reply, sizeof(reply)), TCMU_STS_OK);
    assert_int_equal(command.read_bytes, 0);
    cdb_read_16(command.cdb, VOLUME_BYTES / 512, 1);
    assert_int_equal(host_execute(device, &command, reply, sizeof(reply)),
                     TCMU_STS_PASSTHROUGH_ERR);
    assert_int_equal(command.read_bytes, 0);
    host_remove(device);
}

static void mapping_is_told_and_given_back(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    unsigned char out[65536], list[24] = {0};
    uint64_t end;

    (void)state;
    memset(out, 1, sizeof(out));
    assert_int_equal(lba_status(device, 0, &end), EXTENT_DEALLOCATED);
    write_blocks(device, 2048, out, 128, 512);
    assert_int_equal(lba_status(device, 0, &end), EXTENT_DEALLOCATED);
    assert_int_equal(end, 2048);
    assert_int_equal(lba_status(device, 2048, &end), EXTENT_MAPPED);
    assert_int_equal(end, 2176);
    put_be16(list, 22);
    put_be16(list + 2, 16);
    put_be64(list + 8, 2048);
    put_be32(list + 16, 64);
    cdb_unmap(command.cdb, sizeof(list));
    assert_int_equal(host_execute(device, &command, list, sizeof(list)), TCMU_STS_OK);
    assert_int_equal(lba_status(device, 2048, &end), EXTENT_DEALLOCATED);
    assert_int_equal(end, 2112);
    read_blocks(device, 2048, out, 64, 512);
    for (size_t i = 0; i < 64 * 512; i++)
        assert_int_equal(out[i], 0);
    host_remove(device);
}

static void errors_come_with_their_sense_data(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    unsigned char block[512];

    (void)state;
    command.cdb[0] = 0x04; /* FORMAT UNIT, or whatever the unit does not know */
    command.cdb[1] = 0xff;
    host_execute(device, &command, NULL, 0);
    assert_int_equal(command.status, TCMU_STS_PASSTHROUGH_ERR);
    cdb_read_16(command.cdb, VOLUME_BYTES / 512, 1);
    host_execute(device, &command, block, sizeof(block));
    assert_sense(&command, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    cdb_test_unit_ready(command.cdb);
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_OK);
    host_remove(device);
}

static void every_operation_code_is_answered(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    static unsigned char buffers[256][1 << 18]; /* one each: they may be served side by side */
    static struct host_command commands[256];

    (void)state;
    memset(commands, 0, sizeof(commands));
    for (int i = 0; i < 256; i++) {
        int opcode = 255 - i; /* those that libtcmu drops have others behind them */

        commands[i].cdb[0] = (uint8_t)opcode;
        commands[i].cdb[7] = opcode == 0x7f ? 24 : 0;
        commands[i].iov[0] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof(buffers[i])};
        commands[i].iov_count = 1;
        host_submit(device, &commands[i]);
    }
    for (int i = 0; i < 256; i++) {
        host_wait(device, &commands[i]);
        if (commands[i].status != HOST_OWN_RESPONSE)
            assert_in_range(commands[i].status, TCMU_STS_OK, TCMU_STS_BUSY);
        else
            assert_int_equal(commands[i].scsi_status, SCSI_STATUS_CHECK_CONDITION);
    }
    host_remove(device);
}

static void a_read_only_volume_refuses_writes(void **state)
{
    struct host_device *device, *again;
    struct host_command command = {0};
    unsigned char block[512] = {1};
    char config[160];

    (void)state;
    snprintf(config, sizeof(config), "%s;ro", cfgstring);
    device = serve(config, 512);
    cdb_write_16(command.cdb, 0, 1, false);
    host_execute(device, &command, block, sizeof(block));
    assert_sense(&command, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    read_blocks(device, 0, block, 1, 512);
    assert_int_equal(block[0], 0);
    again = serve(config, 512); /* readers may be many */
    host_remove(again);
    assert_refused(cfgstring, "in use by"); /* but no writer with them */
    host_remove(device);
}

static void growing_raises_a_unit_attention(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command command = {0};
    struct capacity capacity;
    unsigned char in[READ_CAPACITY_16_BYTES];

    (void)state;
    assert_int_equal(host_resize(device, 2 * VOLUME_BYTES), 0);
    cdb_test_unit_ready(command.cdb);
    host_execute(device, &command, NULL, 0);
    assert_sense(&command, SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_OK);
    cdb_read_capacity_16(command.cdb, sizeof(in));
    assert_int_equal(host_execute(device, &command, in, sizeof(in)), TCMU_STS_OK);
    assert_int_equal(capacity_decode_16(in, sizeof(in), &capacity), 0);
    assert_int_equal(capacity.blocks, 2 * VOLUME_BYTES / 512);
    host_remove(device);
}

static void shrinking_over_data_is_refused(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    unsigned char out[4096] = {1};

    (void)state;
    write_blocks(device, VOLUME_BYTES / 512 - 8, out, 8, 512);
    assert_int_equal(host_resize(device, VOLUME_BYTES / 2), -EBUSY);
    assert_true(strlen(host_log()) > 20);
    read_blocks(device, VOLUME_BYTES / 512 - 8, out, 8, 512);
    assert_int_equal(out[0], 1);
    host_log_clear();
    assert_int_equal(host_resize(device, VOLUME_BYTES + 100), -EINVAL);
    assert_says(host_log(), "no multiple of the block size");
    assert_int_equal(host_resize(device, 0), -EINVAL);
    host_remove(device);
}

static int set_config(struct host_device *device, char *config)
{
    struct tcmulib_cfg_info info = {.type = TCMULIB_CFG_DEV_CFGSTR, .data.dev_cfgstring = config};

    return host_reconfig(device, &info);
}

static int set_write_cache(struct host_device *device, bool on)
{
    struct tcmulib_cfg_info info = {.type = TCMULIB_CFG_WRITE_CACHE, .data.write_cache = on};

    return host_reconfig(device, &info);
}

static void what_cannot_change_in_use_is_refused(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    char config[160];

    (void)state;
    snprintf(config, sizeof(config), "%s;ro", cfgstring);
    assert_int_equal(set_config(device, config), -EOPNOTSUPP);
    assert_says(host_log(), "delete the backstore");
    host_log_clear();
    snprintf(config, sizeof(config), "%s;threads=2", cfgstring);
    assert_int_equal(set_config(device, config), -EOPNOTSUPP);
    assert_int_equal(set_config(device, "thin/other"), -EINVAL);
    assert_says(host_log(), "'other' is relative");
    assert_int_equal(set_write_cache(device, true), -EOPNOTSUPP);
    assert_says(host_log(), "emulate_write_cache");
    host_remove(device);
}

static void a_threshold_that_is_reached_is_told_and_logged(void **state)
{
    struct host_device *device;
    struct host_command command = {0};
    char config[160];

    (void)state;
    snprintf(config, sizeof(config), "%s;threshold=1", cfgstring);
    device = serve(config, 512); /* some of a file system is always used */
    assert_says(host_log(), "a threshold is reached");
    cdb_test_unit_ready(command.cdb);
    host_execute(device, &command, NULL, 0);
    assert_sense(&command, SENSE_UNIT_ATTENTION, ASC_SOFT_THRESHOLD_REACHED);
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_OK);
    assert_int_equal(set_config(device, config), 0);
    assert_int_equal(set_config(device, cfgstring), -EOPNOTSUPP);
    host_remove(device);
}

/* targetctl restore sets every attribute to what it is already. */
static void a_restored_configuration_changes_nothing(void **state)
{
    struct host_device *device;
    char config[160];

    (void)state;
    snprintf(config, sizeof(config), "%s;threads=2", cfgstring);
    device = serve(config, 512);
    assert_int_equal(set_config(device, config), 0);
    assert_int_equal(set_write_cache(device, false), 0);
    assert_string_equal(host_log(), "");
    host_remove(device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MODULE_TEST(the_handler_leaves_nothing_to_the_runner),
        MODULE_TEST(a_good_config_is_accepted_and_leaves_no_lock),
        MODULE_TEST(a_bad_config_is_refused_with_a_sentence),
        MODULE_TEST(a_missing_volume_is_not_created),
        MODULE_TEST(another_size_than_the_volumes_is_refused),
        MODULE_TEST(a_long_message_is_logged_in_pieces),
        MODULE_TEST(another_block_size_than_the_volumes_is_refused),
        MODULE_TEST(a_volume_is_served_once),
        MODULE_TEST(a_copy_with_the_same_uuid_is_not_served_beside_the_first),
        MODULE_TEST(one_volume_is_served_twice_for_reading),
        MODULE_TEST(data_written_is_read_back_after_reopening),
        MODULE_TEST(scattered_buffers_are_filled_in_order),
        MODULE_TEST(inquiry_fills_its_whole_buffer),
        MODULE_TEST(the_kernel_is_told_how_long_a_reply_is_that_does_not_fill_its_buffer),
        MODULE_TEST(mapping_is_told_and_given_back),
        MODULE_TEST(errors_come_with_their_sense_data),
        MODULE_TEST(every_operation_code_is_answered),
        MODULE_TEST(a_read_only_volume_refuses_writes),
        MODULE_TEST(a_threshold_that_is_reached_is_told_and_logged),
        MODULE_TEST(growing_raises_a_unit_attention),
        MODULE_TEST(shrinking_over_data_is_refused),
        MODULE_TEST(what_cannot_change_in_use_is_refused),
        MODULE_TEST(a_restored_configuration_changes_nothing),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
