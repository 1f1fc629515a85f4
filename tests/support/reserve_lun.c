/* SPDX-License-Identifier: Apache-2.0 */

/* Another initiator, for tests of reservations:
 *
 *   reserve_lun LUN KEY TYPE    registers KEY (hexadecimal), reserves with TYPE (a number, 0: only
 *                               registers), says "held" and waits for the end of stdin; then gives
 *                               back what it has, unless it is killed
 *   reserve_lun LUN show        the reservation and the keys, a line each
 *   reserve_lun LUN KEY steal VICTIM
 *                               registers KEY and takes the reservation of VICTIM over, for good
 *   reserve_lun LUN KEY forget  releases and forgets all of KEY's that this initiator finds:
 * registers KEY and clears the LUN
 *
 * LUN is an iSCSI URL or a device node. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reservation.h"
#include "transport.h"

#define MAX_ATTEMPTS 8
#define CLEAR        3 /* the service action that thinmirror has no use for */
#define KEYS_MAX     64

static struct transport *lun;

static void give_up(const char *what, const struct transport_request *request)
{
    fprintf(stderr, "reserve_lun: %s: result %d, status %02Xh, sense %02X %02X %02X\n", what,
            request->result, request->status, request->sense[2], request->sense[12],
            request->sense[13]);
    exit(1);
}

/* Unit attentions are for others. */
static void run(const char *what, struct transport_request *request, void *data, size_t length)
{
    struct iovec iov = {data, length};

    request->cdb_length = 10;
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        request->iov = &iov;
        request->iov_count = 1;
        if (transport_run(lun, request) == 0 && request->status == SCSI_STATUS_GOOD)
            return;
        if (request->status != SCSI_STATUS_CHECK_CONDITION || (request->sense[2] & 0xF) != 6)
            break;
    }
    give_up(what, request);
}

static void out(enum reservation_action action, uint8_t type, uint64_t key, uint64_t action_key)
{
    struct transport_request request = {.direction = TRANSPORT_DATA_OUT};
    uint8_t list[RESERVATION_LIST_BYTES];
    char what[48];

    snprintf(what, sizeof(what), "PERSISTENT RESERVE OUT, action %d", action);
    cdb_reserve_out(request.cdb, action, type);
    reservation_list_encode(list, key, action_key);
    run(what, &request, list, sizeof(list));
}

static void in(enum reservation_query query, uint8_t *reply, size_t length,
               struct transport_request *request)
{
    *request = (struct transport_request){.direction = TRANSPORT_DATA_IN};
    cdb_reserve_in(request->cdb, query, (uint16_t)length);
    run("PERSISTENT RESERVE IN", request, reply, length);
}

static void show(void)
{
    uint8_t reply[8 + KEYS_MAX * 8];
    uint64_t keys[KEYS_MAX];
    struct reservation reservation;
    struct transport_request request;
    bool all;
    int count;

    in(RESERVATION_READ, reply, RESERVATION_REPLY_BYTES, &request);
    if (reservation_decode(reply, request.transferred, &reservation) < 0)
        give_up("READ RESERVATION", &request);
    if (reservation.held)
        printf("held %016" PRIx64 " type %u\n", reservation.key, reservation.type);
    in(RESERVATION_READ_KEYS, reply, sizeof(reply), &request);
    count = reservation_keys_decode(reply, request.transferred, keys, KEYS_MAX, &all);
    if (count < 0)
        give_up("READ KEYS", &request);
    for (int i = 0; i < count; i++)
        printf("key %016" PRIx64 "\n", keys[i]);
}

static void hold(uint64_t key, uint8_t type)
{
    char byte;

    out(RESERVATION_REGISTER_ANYWAY, 0, 0, key);
    if (type)
        out(RESERVATION_RESERVE, type, key, 0);
    puts("held");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    if (type)
        out(RESERVATION_RELEASE, type, key, 0);
    out(RESERVATION_REGISTER, 0, key, 0);
}

static void open_lun(const char *name)
{
    struct errmsg err = {{0}};
    int r = strncmp(name, "iscsi://", 8) == 0 ? transport_iscsi_open(name, NULL, &lun, &err)
                                              : transport_sg_open(name, false, &lun, &err);

    if (r == 0)
        return;
    fprintf(stderr, "reserve_lun: %s\n", err.text);
    exit(1);
}

int main(int argc, char **argv)
{
    uint64_t key = argc > 2 ? strtoull(argv[2], NULL, 16) : 0;

    if (argc < 3) {
        fputs("usage: reserve_lun LUN show | LUN KEY TYPE | LUN KEY steal VICTIM | "
              "LUN KEY forget\n",
              stderr);
        return 2;
    }
    open_lun(argv[1]);
    if (argc == 3) {
        show();
    } else if (strcmp(argv[3], "forget") == 0) {
        out(RESERVATION_REGISTER_ANYWAY, 0, 0, key);
        out((enum reservation_action)CLEAR, 0, key, 0);
    } else if (strcmp(argv[3], "steal") == 0 && argc == 5) {
        out(RESERVATION_REGISTER_ANYWAY, 0, 0, key);
        out(RESERVATION_PREEMPT, RESERVATION_WRITE_EXCLUSIVE, key, strtoull(argv[4], NULL, 16));
    } else {
        hold(key, (uint8_t)strtoul(argv[3], NULL, 10));
    }
    transport_close(lun);
    return 0;
}
