/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#define ENDPOINTS                                                                              \
    "\n"                                                                                       \
    "A LUN or file is named as\n"                                                              \
    "  iscsi://[user@]host[:port]/target-iqn/lun   over the network, no kernel needed;\n"      \
    "                                              host:port,host:port are tried in turn\n"    \
    "  /dev/sdX, /dev/sgN                          a SCSI disk of this machine\n"              \
    "  thin:PATH                                   a thin volume that is not served\n"         \
    "  PATH                                        a raw file, best a sparse one\n"            \
    "\n"                                                                                       \
    "  --format=raw        PATH is raw, though it looks compressed, or like a disk image of\n" \
    "                      another kind (qcow2, VMDK, ...)\n"

#define SAYING                                                                                \
    "  --quiet, -q         say nothing but errors, and what --json, map, probe and ledgers\n" \
    "                      are for\n"                                                         \
    "  --verbose, -v       say what was found out on the way, too\n"

#define AUTH                                                                                   \
    "  --auth-file=FILE    CHAP secrets, a line each: TARGET-IQN|* USER SECRET [TARGET-USER\n" \
    "                      TARGET-SECRET]; or set THINMIRROR_CHAP_USER and _SECRET, and for\n" \
    "                      mutual CHAP THINMIRROR_CHAP_TARGET_USER and _TARGET_SECRET\n"       \
    "  --chap-optional     a target that wants no CHAP is used, though there is a secret for " \
    "it\n" SAYING

#define MOVING                                                                                  \
    "  --progress=auto|bar|json|none\n"                                                         \
    "                      on stderr; auto: a bar when that is a terminal\n"                    \
    "  --source-map=lba-status|bitmap|analyse|both|full\n"                                      \
    "                      what tells which blocks of PRIMARY are used. lba-status asks\n"      \
    "                      the target, bitmap reads the bitmap that user:thin has, which is\n"  \
    "                      shorter for very many extents, analyse reads PRIMARY's own\n"        \
    "                      partition tables and file systems, both takes what lba-status and\n" \
    "                      analyse call used, full takes all. Without it: lba-status when\n"    \
    "                      the target is thin and answers, else analyse where a table\n"        \
    "                      is understood, else full\n"                                          \
    "  --skip-gaps         with analyse: what lies between partitions, where boot loaders\n"    \
    "                      may be, is not used\n"                                               \
    "  --vtoc-lstar        with analyse: of a DASD's sequential and partitioned data sets\n"    \
    "                      only the tracks up to the last one that was written\n"               \
    "  --rate=BYTES        read (verify: compare) at most BYTES per second: 500K,\n"            \
    "                      20M, 1G are powers of 1024, 20MB is one of 1000;\n"                  \
    "                      --rate=@FILE: as the file says, which may be changed meanwhile\n"    \
    "  --queue-depth=N     requests in flight on each side (default: by the line)\n"            \
    "  --sessions=N        iSCSI sessions with each target, a thread each (default 1)\n"

static const char general[] =
    "usage: thinmirror COMMAND [OPTION]... LUN...\n"
    "\n"
    "Copies a thin LUN to another one and moves only the blocks that are in use.\n"
    "\n"
    "  thinmirror sync PRIMARY SECONDARY     make SECONDARY read as PRIMARY reads\n"
    "  thinmirror verify PRIMARY SECONDARY   compare them, block by block\n"
    "  thinmirror map PRIMARY [SECONDARY]    list or draw which blocks are in use\n"
    "  thinmirror probe LUN                  say what a target is and can do\n"
    "  thinmirror ledgers                    list what is known of earlier copies\n"
    "  thinmirror forget PRIMARY SECONDARY   forget what is known of one\n"
    "  thinmirror COMMAND --help             options and examples\n"
    "  thinmirror --version\n" ENDPOINTS "\n"
    "Exit status: 0 done, 1 an I/O or target error, 2 wrong usage, 3 refused by a safety\n"
    "check, 4 verify found a difference, 5 interrupted.\n";

static const char sync_help[] =
    "usage: thinmirror sync [OPTION]... PRIMARY SECONDARY\n"
    "\n"
    "Copies the mapped blocks of PRIMARY to SECONDARY. Blocks that are not mapped on PRIMARY\n"
    "are unmapped on SECONDARY, or zeroed where it cannot unmap. SECONDARY is flushed before\n"
    "it says done.\n"
    "\n"
    "Refused, with exit status 3 and before anything is written: a SECONDARY that is smaller,\n"
    "has other blocks, is PRIMARY itself, is read-only, is mounted or in use, holds data that\n"
    "was not copied from this PRIMARY, or that something else has written to since.\n"
    "\n"
    "  --dry-run           make all checks, say what would be copied and about how long that\n"
    "                      takes (as a sample of both is read, or by --rate); write nothing\n"
    "  --keep-free         what PRIMARY's tables of contents call free is left as it is on\n"
    "                      SECONDARY, not emptied\n"
    "  --overwrite         the data that SECONDARY holds may be lost\n"
    "  --verify[=end]      compare both sides afterwards, from end to end (see verify)\n"
    "  --trust-maps        with that: don't read what both targets call unmapped\n"
    "  --verify=inline     read back what is written, batch by batch, and compare it\n"
    "  --json              the result as one JSON object on stdout\n" MOVING
    "  --ledger=FILE       where it is noted what was copied here and from where; without it\n"
    "                      a file in ~/.local/state/thinmirror (root: /var/lib/thinmirror), or\n"
    "                      in $XDG_STATE_HOME/thinmirror\n"
    "  --pair=NAME         the name of the two: PRIMARY may be another LUN each time then, as a\n"
    "                      snapshot is that is made anew\n"
    "  --resume            go on where an interrupted sync of the same two LUNs stopped\n"
    "  --reserve           shut other initiators out from writing to SECONDARY meanwhile, by a\n"
    "                      persistent reservation; refused where another one has reserved it;\n"
    "                      SECONDARY has one session then\n"
    "  --checkpoint=SECONDS\n"
    "                      how often SECONDARY is flushed and the ledger brought up to date,\n"
    "                      which is what a killed sync loses at most (default 5)\n"
    "  --detect-zeroes     what is mapped on PRIMARY but reads as zeros is not written but\n"
    "                      unmapped, in pieces of 64 KiB\n"
    "  --skip-bad=N        pass over up to N blocks that PRIMARY cannot read; SECONDARY gets\n"
    "                      zeros there, and the exit status is 1\n" AUTH ENDPOINTS "\n"
    "SIGINT ends a sync so that --resume can go on; SIGUSR1 prints a line about how far it is.\n"
    "\n"
    "Examples:\n"
    "  thinmirror sync --verify iscsi://san1/iqn.2024-01.org.example:vol1/0 \\\n"
    "                           iscsi://san2/iqn.2024-01.org.example:vol1-copy/0\n"
    "  thinmirror sync --resume --ledger=vol1.ledger /dev/sdb vol1.img\n"
    "  thinmirror sync --dry-run --json /dev/sdb /dev/sdc\n"
    "  [ -e copy.img ] || truncate -s 100G copy.img; thinmirror sync /dev/sdb copy.img\n";

static const char map_help[] =
    "usage: thinmirror map [OPTION]... PRIMARY [SECONDARY]\n"
    "\n"
    "Lists the extents of PRIMARY in LBA order as its target tells them: mapped, deallocated\n"
    "or anchored. A target that does not answer GET LBA STATUS counts as mapped everywhere.\n"
    "With --source-map=analyse it is PRIMARY's own partition tables, logical volumes and file\n"
    "systems that tell; each extent then says what it belongs to (why).\n"
    "With SECONDARY both are drawn, the secondary as its target tells it.\n"
    "\n"
    "  --format=list|text|json|svg\n"
    "                      list: an extent a line (default for one LUN); text: drawn with\n"
    "                      characters, as wide as the terminal (default for two); svg: drawn as\n"
    "                      a document of its own; json: as --json\n"
    "  --source-map=lba-status|bitmap|analyse|both|full\n"
    "                      who is asked; both: mapped is what both call used\n"
    "  --skip-gaps         with analyse: what lies between partitions is not used\n"
    "  --vtoc-lstar        with analyse: a DASD's data sets end where they were written to\n"
    "  --json              one JSON object; its extents, an array of {\"lba\", \"blocks\",\n"
    "                      \"status\"}, cover the LUN, secondary_extents the other one\n" AUTH
        ENDPOINTS "\n"
    "Examples:\n"
    "  thinmirror map /dev/sdb\n"
    "  thinmirror map /dev/sdb iscsi://san2/iqn.2024-01.org.example:vol1-copy/0\n"
    "  thinmirror map --format=svg --source-map=analyse /dev/sdb > sdb.svg\n"
    "  thinmirror map --source-map=analyse /dev/sdb\n"
    "  thinmirror map --json thin:/srv/vol1 | jq '.extents[] | select(.status==\"mapped\")'\n";

static const char verify_help[] =
    "usage: thinmirror verify [OPTION]... PRIMARY SECONDARY\n"
    "\n"
    "Reads both sides, and compares them block by block; what is not mapped on PRIMARY must\n"
    "read as zeros on SECONDARY. Only the holes of local files need not be read. Where nothing\n"
    "but PRIMARY's own tables tells what is in use there, the rest is not looked at, unless they\n"
    "are asked for (--source-map). Exit status 4, and the first blocks that differ, when they\n"
    "are not alike. Nothing is written.\n"
    "\n"
    "  --trust-maps        what both targets call unmapped is not read when both promise zeros\n"
    "                      for that, but for samples of it all over the LUN: quicker, and as\n"
    "                      good as their word\n"
    "  --allocated         don't compare what PRIMARY's tables of contents call free; with these\n"
    "                      tables, e2fsck -fn and the like are run on SECONDARY then\n"
    "  --json              the result as one JSON object on stdout\n" MOVING AUTH ENDPOINTS "\n"
    "Examples:\n"
    "  thinmirror verify /dev/sdb iscsi://san2/iqn.2024-01.org.example:vol1-copy/0\n"
    "  thinmirror verify --source-map=full --progress=none thin:/srv/vol1 /mnt/vol1.img\n";

static const char probe_help[] =
    "usage: thinmirror probe [OPTION]... LUN\n"
    "\n"
    "Says what a target is and what it can do that matters here: its identity, its size,\n"
    "whether it is thin, answers GET LBA STATUS, promises zeros for unmapped blocks, and its\n"
    "limits. Nothing is written.\n"
    "\n"
    "  --json              as one JSON object on stdout, also when it failed\n" AUTH ENDPOINTS "\n"
    "Examples:\n"
    "  thinmirror probe /dev/sdb\n"
    "  thinmirror probe --json iscsi://127.0.0.1:3260/iqn.2024-01.org.example:vol1/0\n";

static const char ledgers_help[] =
    "usage: thinmirror ledgers [OPTION]...\n"
    "\n"
    "Lists what is known of earlier copies: from where to where, when, how far, the pair's\n"
    "name and the file of the ledger. Those that --ledger has put elsewhere are found, too. No\n"
    "LUN is asked, and nothing is written.\n"
    "\n"
    "  --json              as one JSON object on stdout\n" SAYING "\n"
    "Examples:\n"
    "  thinmirror ledgers\n"
    "  thinmirror ledgers --json | jq '.ledgers[] | select(.state==\"interrupted\").secondary'\n";

static const char forget_help[] =
    "usage: thinmirror forget [OPTION]... PRIMARY SECONDARY\n"
    "       thinmirror forget [OPTION]... --pair=NAME\n"
    "       thinmirror forget [OPTION]... LEDGER-FILE\n"
    "\n"
    "Removes the ledger of a copy, wherever it is kept. What the secondary holds is not known as\n"
    "a copy then: a sync to it needs --overwrite, and --resume begins anew. Neither LUN is\n"
    "touched or need be there; they are named as the sync named them (see thinmirror ledgers).\n"
    "Refused, with exit status 3: a ledger that is not known, more than one that fits, and one\n"
    "whose secondary is being copied to.\n"
    "\n"
    "  --pair=NAME         the ledger of the pair of this name\n"
    "  --json              the result as one JSON object on stdout\n" SAYING "\n"
    "Examples:\n"
    "  thinmirror forget /dev/sdb iscsi://san2/iqn.2024-01.org.example:vol1-copy/0\n"
    "  thinmirror forget --pair=db\n";

const char *options_help(enum command command)
{
    switch (command) {
    case COMMAND_SYNC:
        return sync_help;
    case COMMAND_MAP:
        return map_help;
    case COMMAND_VERIFY:
        return verify_help;
    case COMMAND_PROBE:
        return probe_help;
    case COMMAND_LEDGERS:
        return ledgers_help;
    case COMMAND_FORGET:
        return forget_help;
    case COMMAND_NONE:
        break;
    }
    return general;
}
