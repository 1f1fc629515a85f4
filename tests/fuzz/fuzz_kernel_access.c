/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "fuzz.h"
#include "kernel_access.h"

static const char *const no_holders[] = {"No SPC-3 Reservation holder",
                                         "No SPC-2 Reservation holder", "SPC_RESERVATIONS_DISABLED",
                                         "Passthrough"};

static bool says_nobody(const char *text)
{
    for (size_t i = 0; i < 4; i++)
        if (strcmp(text, no_holders[i]) == 0)
            return true;
    return false;
}

/* Two lines: what is in res_pr_type and in res_holder. The first is a device's name as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct kernel_device device;
    enum lun_reservation reservation;
    char *holder = strchr(text, '\n');

    if (kernel_device_init(&device, "/root", text) == 0)
        FUZZ_CHECK(strncmp(device.folder, "/root/core/user_", 16) == 0 &&
                   strchr(device.folder + 16, '/') && !strstr(device.folder, "/.."));
    if (holder)
        *holder++ = '\0';
    reservation = kernel_reservation_parse(text, holder);
    FUZZ_CHECK(holder || reservation == LUN_RESERVATION_UNKNOWN);
    if (reservation == LUN_NOT_RESERVED)
        FUZZ_CHECK(strcmp(text, no_holders[0]) == 0 && says_nobody(holder));
    if (reservation == LUN_RESERVED)
        FUZZ_CHECK(strstr(text, "Type: Exclusive Access") || strstr(holder, "SPC-2"));
    return 0;
}
