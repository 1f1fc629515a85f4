#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: libiscsi's iscsi-test-cu against a thin LUN under the real tcmu-runner, with blocks of
# 512 and of 4096 bytes. Nothing may fail, and nothing may be skipped, but what the file
# conformance.expected lists; and what it lists must really be so.
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly expected=$LAB_REPO/tests/system/conformance.expected
readonly suites=(GetLBAStatus Unmap ReadCapacity10 ReadCapacity16 Read6 Read10 Read12 Read16
  Write10 Write12 Write16 WriteSame10 WriteSame16 ReceiveCopyResults ExtendedCopy)
# The size of a block is nothing to these: once is enough.
readonly more_suites=(Verify10 Verify12 Verify16 TestUnitReady Mandatory Inquiry ModeSense6
  ReportSupportedOpcodes StartStopUnit)

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
  awk -v test="$1" -v size="$2" '
    !/^#/ && $1 == test && ($2 == size || $2 == "*") { $1 = $2 = ""; sub(/^ +/, ""); print; exit }' \
    "$expected"
}

judge() { # BLOCK_SIZE TEST RESULT [REASON]
  local name="$2 with $1-byte blocks" listed reason
  listed=$(expectation "$2" "$1")
  reason=${listed#* }
  case "${listed%% *}/$3" in
    /passed) ok "$name" ;;
    failed/failed) ok "$name fails, the suite being wrong: $reason" ;;
    skipped/skipped) skip "$name" "$reason" ;;
    /*) not_ok "$name" "$3: ${*:4}" ;;
    *) not_ok "$name" "listed as ${listed%% *} in conformance.expected, but it $3" "${*:4}" ;;
  esac
}

output_of() { # BLOCK_SIZE SUITE
  echo "$LAB_OUT/iscsi-test-$2-$1.txt"
}

run_suites() { # BLOCK_SIZE SUITE...
  local block_size=$1 suite
  shift
  for suite in "$@"; do
    timeout 240 iscsi-test-cu --dataloss --test="ALL.$suite" \
      "iscsi://127.0.0.1/iqn.2026-01.lab.thinmirror:c$block_size/0" \
      >"$(output_of "$block_size" "$suite")" 2>&1
  done
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
mount -t tmpfs -o size=1g tmpfs /mnt/tmpfs
start_stack
for block_size in 512 4096; do
  check "a LUN with $block_size-byte blocks" \
    thin_create "c$block_size" "/mnt/tmpfs/c$block_size" $((64 << 20)) "$block_size" \
    "hw_max_sectors=$((4194304 / block_size))"
  check "its target" target_create "iqn.2026-01.lab.thinmirror:c$block_size" "c$block_size"
done
section "both sizes side by side"
run_suites 512 "${suites[@]}" "${more_suites[@]}" &
run_suites 4096 "${suites[@]}" &
wait
section "verdicts"
judge_suites 512 "${suites[@]}" "${more_suites[@]}"
judge_suites 4096 "${suites[@]}"
finish_checks
