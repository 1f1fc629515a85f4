#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the project's own SCSI tests, tests/scsi, over iSCSI (libiscsi straight to the kernel's
# target) and over SG_IO (the device nodes of open-iscsi). Each way has LUNs of its own, one for every
# geometry the tests ask for, and both run side by side.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly base=iqn.2026-01.lab.thinmirror
readonly scsi=$LAB_REPO/tests/scsi
mapfile -t geometries < <(grep -v '^#' "$scsi/geometries")
mapfile -t programs <"$LAB_BUILD/tests/scsi_over_transport"

# One target of the name WAY, with a LUN for each geometry in their order.
make_luns() { # WAY
  local group=$target/iscsi/$base:$1/tpgt_1 i geometry size blocks name
  for i in "${!geometries[@]}"; do
    geometry=${geometries[i]} name=$1-${geometries[i]}
    size=${geometry%%x*} blocks=${geometry#*x}
    thinvol create --block-size="$size" "/mnt/tmpfs/$name" $((size * ${blocks%ro})) || return 1
    backstore_create "$name" "thin//mnt/tmpfs/$name$([[ $geometry != *ro ]] || echo ';ro')" \
      $((size * ${blocks%ro})) "$size" hw_max_sectors=$(((16 << 20) / size)) || return 1
    if ((i == 0)); then
      target_create "$base:$1" "$name" || return 1
    else
      mkdir "$group/lun/lun_$i" && ln -s "$(echo "$target"/core/*_*/"$name")" "$group/lun/lun_$i/" ||
        return 1
    fi
  done
}

# The nodes of the session's LUNs: "LUN /dev/sgN" a line.
generic_nodes() { # IQN
  local session device
  for session in /sys/class/iscsi_session/session*; do
    [[ $(<"$session/targetname") == "$1" ]] || continue
    for device in "$session"/device/target*/*:*:*:*; do
      echo "${device##*:} /dev/$(basename "$device"/scsi_generic/sg*)"
    done
  done
}

all_nodes() { # IQN
  (($(generic_nodes "$1" | grep -c 'sg[0-9]') == ${#geometries[@]}))
}

list_luns() { # WAY
  local i nodes
  nodes=$(generic_nodes "$base:$1")
  for i in "${!geometries[@]}"; do
    if [[ $1 == iscsi ]]; then
      echo "${geometries[i]}=iscsi://127.0.0.1/$base:$1/$i"
    else
      echo "${geometries[i]}=$(sed -n "s/^$i //p" <<<"$nodes")"
    fi
  done
}

run_programs() { # WAY
  local program luns
  luns=$(list_luns "$1")
  for program in "${programs[@]}"; do
    TM_SCSI_LUNS=$luns CMOCKA_MESSAGE_OUTPUT=TAP \
      timeout 200 "$LAB_BUILD/tests/bin/scsi_$program" >"$LAB_OUT/own-$1-$program.txt" 2>&1
    echo "status $?" >>"$LAB_OUT/own-$1-$program.txt"
    echo "# $1 $program: at $(cut -d . -f 1 /proc/uptime) s"
  done
}

judge() { # WAY PROGRAM
  local file=$LAB_OUT/own-$1-$2.txt line name count=0
  while read -r line; do
    name="$1, ${line#*- }"
    [[ $line != *"ok "* ]] || count=$((count + 1))
    case $line in
      "ok "*"# SKIP "*) skip "${name% # SKIP *}" "${name#* # SKIP }" ;;
      "ok "*) ok "$name" ;;
      "not ok "*) not_ok "$name" "$(grep -B 6 -A 12 -F -e "${line#*- }" "$file" | tail -n 25)" ;;
    esac
  done < <(awk -f "$LAB_REPO/tests/support/tap_reasons.awk" "$file")
  # The status is the number of tests that failed; a program that was killed has a larger one.
  if ((count == 0)) || ! grep -qxE "status [0-9]{1,2}" "$file"; then
    not_ok "$1, scsi_$2 runs to its end" "$(tail -n 15 "$file")"
  fi
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=1500m tmpfs /mnt/tmpfs
start_stack
check "LUNs for libiscsi" make_luns iscsi
check "LUNs for SG_IO" make_luns sg
iscsi_login "$base:sg" >/dev/null
check "every LUN has its node" wait_for 20 all_nodes "$base:sg"
section "both ways side by side"
run_programs iscsi &
iscsi_job=$!
run_programs sg &
wait "$iscsi_job" "$!"
section "verdicts"
for way in iscsi sg; do
  for program in "${programs[@]}"; do
    judge "$way" "$program"
  done
done
finish_checks
