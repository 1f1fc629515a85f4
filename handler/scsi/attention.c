/* SPDX-License-Identifier: Apache-2.0 */

/* Unit attention conditions, SAM-5 5.14. */

#include "lun_internal.h"

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

enum scsi_asc_ascq lun_take_attention(struct lun *lun)
{
    /* Nearly every command finds none: a look without a change is all it pays. */
    unsigned pending = atomic_load_explicit(&lun->attentions, memory_order_relaxed);

    for (size_t i = 0; pending != 0 && i < sizeof(by_priority) / sizeof(by_priority[0]); i++) {
        unsigned bit = (unsigned)by_priority[i].attention;

        if ((pending & bit) && (atomic_fetch_and(&lun->attentions, ~bit) & bit))
            return by_priority[i].asc_ascq;
    }
    return ASC_NONE;
}
