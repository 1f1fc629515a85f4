/* SPDX-License-Identifier: Apache-2.0 */

/* Unit attention conditions, SAM-5 5.14. */

#include "lun_internal.h"
#include "sense.h"

/* What each is called in sense data, the most urgent first (SAM-5 5.14.1: a power on before all
 * that happened since). */
static const struct {
    enum lun_attention attention;
    enum scsi_asc_ascq asc_ascq;
} by_priority[] = {
    {LUN_ATTENTION_POWER_ON, ASC_POWER_ON_RESET},
    {LUN_ATTENTION_MODE_CHANGED, ASC_MODE_PARAMETERS_CHANGED},
    {LUN_ATTENTION_CAPACITY_CHANGED, ASC_CAPACITY_DATA_CHANGED},
    {LUN_ATTENTION_THRESHOLD, ASC_SOFT_THRESHOLD_REACHED},
};

void lun_raise_attention(struct lun *lun, enum lun_attention attention)
{
    atomic_fetch_or(&lun->attentions, (unsigned)attention);
}

static void describe(struct lun *lun, size_t index, struct sense *ret)
{
    *ret = (struct sense){.key = SENSE_UNIT_ATTENTION,
                          .asc_ascq = (uint16_t)by_priority[index].asc_ascq};
    if (by_priority[index].attention == LUN_ATTENTION_THRESHOLD) { /* SBC-4 4.7.3.7.6 */
        ret->information_valid = true;
        ret->information = atomic_load(&lun->thresholds.told_offset);
    }
}

bool lun_take_attention(struct lun *lun, struct sense *ret)
{
    /* Nearly every command finds none: a look without a change is all it pays. */
    unsigned pending = atomic_load_explicit(&lun->attentions, memory_order_relaxed);

    for (size_t i = 0; pending != 0 && i < sizeof(by_priority) / sizeof(by_priority[0]); i++) {
        unsigned bit = (unsigned)by_priority[i].attention;

        if ((pending & bit) && (atomic_fetch_and(&lun->attentions, ~bit) & bit)) {
            describe(lun, i, ret);
            return true;
        }
    }
    return false;
}
