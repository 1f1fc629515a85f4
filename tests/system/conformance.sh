#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: every suite of libiscsi's iscsi-test-cu against thin LUNs under the real tcmu-runner,
# with blocks of 512 and of 4096 bytes, the latter with a change record. Nothing may fail, and
# nothing may be skipped, but what the file conformance.expected lists; and what it lists must really
# be so. The suites about persistent reservations and iSCSI itself are among them, though the
# kernel's target answers much of what they send: they send other commands as well, whose end the
# handler decides.
#
# usage: conformance.sh [--program=ISCSI-TEST-CU] [SUITE...]   only these suites
#   --program   another iscsi-test-cu than Debian's, built from libiscsi's sources
#
# Debian 12's is of libiscsi 1.19. For a newer one, as Debian 13's of 1.20, the lines of
# conformance.expected that begin with "newer:" count.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror
readonly expected=$LAB_REPO/tests/system/conformance.expected
readonly workers=2
program=iscsi-test-cu newer=
if [[ ${1:-} == --program=* ]]; then
  program=${1#*=}
  shift
fi
suites=("$@")
all_tests=$("$program" --list 2>/dev/null)
# The version is told nowhere; this suite came with 1.20.
[[ $all_tests != *ALL.iSCSINop* ]] || newer=newer:
# Of Reserve6 the handler sees nothing but TEST UNIT READY.
(($#)) || mapfile -t suites < <(sed -nE 's/^ALL\.([A-Za-z0-9]+)$/\1/p' <<<"$all_tests" | grep -v '^Reserve6$')

# "TEST RESULT [REASON]" a line, RESULT being passed, failed or skipped. The suite says "passed" of
# what it skipped; only [SKIPPED] in between tells.
results() {
  awk '
    function flush() { if (test) print suite "." test, result, reason; test = "" }
    /^Suite: / { flush(); suite = $2 }
    /^  Test: / { flush(); test = $2; result = "none"; reason = "" }
    /\[SKIPPED\]/ { skipped = $0; sub(/.*\[SKIPPED\] */, "", skipped); result = "skipped"; reason = skipped }
    /passed/ && result == "none" { result = "passed" }
    /FAILED/ { if (result != "failed") { result = "failed"; reason = $0 } }
    /^Run Summary/ { flush() }
    END { flush() }'
}

# The line of the expected-file for TEST with BLOCK_SIZE: "RESULT REASON", or nothing.
expectation() { # TEST BLOCK_SIZE
  awk -v test="$1" -v size="$2" -v newer="$newer" '
    /^#/ || ($2 != size && $2 != "*") { next }
    newer && $1 == newer test { $1 = $2 = ""; first = $0 }
    $1 == test { $1 = $2 = ""; other = $0 }
    END { line = first ? first : other; sub(/^ +/, "", line); print line }' "$expected"
}

judge() { # BLOCK_SIZE TEST RESULT [REASON]
  local name="$2 with $1-byte blocks" listed reason
  listed=$(expectation "$2" "$1")
  reason=${listed#* }
  case "${listed%% *}/$3" in
    /passed | passed/passed | either/passed) ok "$name" ;;
    failed/failed | either/failed) skip "$name" "it fails: $reason" ;;
    skipped/skipped) skip "$name" "$reason" ;;
    /*) not_ok "$name" "$3: ${*:4}" ;;
    *) not_ok "$name" "listed as ${listed%% *} in conformance.expected, but it $3" "${*:4}" ;;
  esac
}

output_of() { # BLOCK_SIZE SUITE
  echo "$LAB_OUT/iscsi-test-$2-$1.txt"
}

make_lun() { # NAME BLOCK_SIZE [OPTIONS]
  thinvol create --block-size="$2" "/mnt/tmpfs/$1" 64M &&
    backstore_create "$1" "thin//mnt/tmpfs/$1${3:-}" $((64 << 20)) "$2" hw_max_sectors=$((4194304 / $2)) &&
    target_create "$base:$1" "$1"
}

make_luns() { # BLOCK_SIZE OPTIONS
  local worker
  for ((worker = 1; worker <= workers; worker++)); do
    make_lun "any$1-$worker" "$1" "$2" && make_lun "held$1-$worker" "$1" "$2" || return 1
  done
  # MultipathIO takes blocks for zeros that it did not write, ReceiveCopyResults takes it that no
  # copy was made before.
  make_lun "new$1" "$1" && make_lun "copies$1" "$1" && make_lun "readonly$1" "$1" ';ro'
}

url_for() { # BLOCK_SIZE SUITE WORKER
  local name
  case $2 in
    ReadOnly) name=readonly$1 ;;
    MultipathIO) name=new$1 ;;
    ReceiveCopyResults) name=copies$1 ;;
    Prin* | Prout*) name=held$1-$3 ;; # no other suite meets a reservation that is left
    *) name=any$1-$3 ;;
  esac
  echo "iscsi://127.0.0.1/$base:$name/0"
}

run_suite() { # BLOCK_SIZE SUITE WORKER
  local url
  url=$(url_for "$@")
  # shellcheck disable=SC2046 # a second way to the same LUN, or none
  timeout 300 "$program" --dataloss --allow-sanitize --test="ALL.$2" "$url" \
    $([[ $2 != MultipathIO ]] || echo "$url") >"$(output_of "$1" "$2")" 2>&1
  echo "# $2 with $1-byte blocks: done at $(cut -d . -f 1 /proc/uptime) s"
}

# Takes lines "BLOCK_SIZE SUITE" from descriptor 7, which all workers share.
work() { # WORKER
  local block_size suite
  while { flock 8; read -r block_size suite <&7; } 8>/run/jobs.lock; do
    run_suite "$block_size" "$suite" "$1"
  done
}

list_jobs() {
  printf '4096 %s\n' "${suites[@]}" # take longer, so they go first
  printf '512 %s\n' "${suites[@]}"
}

judge_suites() { # BLOCK_SIZE SUITE...
  local block_size=$1 suite test result reason count
  shift
  for suite in "$@"; do
    count=0
    while read -r test result reason; do
      count=$((count + 1))
      judge "$block_size" "$test" "$result" "$reason"
    done < <(results <"$(output_of "$block_size" "$suite")")
    ((count > 0)) || not_ok "suite $suite with $block_size-byte blocks ran" \
      "$(tail -n 5 "$(output_of "$block_size" "$suite")")"
  done
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=2g tmpfs /mnt/tmpfs
start_stack
mkdir -p "$(<"$target/dbroot")/pr" # where the kernel keeps reservations
check "LUNs with 512-byte blocks" make_luns 512 ""
check "LUNs with 4096-byte blocks and a change record" make_luns 4096 ";track"
section "${#suites[@]} suites with either block size"
list_jobs >/run/jobs
exec 7</run/jobs
jobs=()
for ((worker = 1; worker <= workers; worker++)); do
  work "$worker" &
  jobs+=("$!")
done
wait "${jobs[@]}"
section "verdicts"
for block_size in 512 4096; do
  judge_suites "$block_size" "${suites[@]}"
done
finish_checks
