#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# thindoctor on a machine that has everything, and on the same machine with things taken away.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

state_of() { # NAME
  thindoctor --json | jq -r --arg name "$1" '.checks[] | select(.name == $name) | "\(.ok) \(.state)"'
}
mend_of() { # NAME
  thindoctor --json | jq -r --arg name "$1" '.checks[] | select(.name == $name) | .mend'
}

section "before anything is started"
check_equal "a module that can be loaded is not missing" "true loadable" "$(state_of iscsi_target_mod)"
check_equal "the netlink family is missing" modprobe\ target_core_user "$(mend_of "netlink TCM-USER")"
check_match "configfs is missing" '^modprobe configfs && mount' "$(mend_of configfs)"
check_match "tcmu-runner is missing" dbus-daemon "$(mend_of tcmu-runner)"
check_fails "thindoctor fails" 1 "^[0-9]+ missing" thindoctor

section "its own commands mend it"
eval "$(mend_of "netlink TCM-USER")"
check_match "the netlink family answers" '^true' "$(state_of "netlink TCM-USER")"
eval "$(mend_of configfs)"
check_match "configfs is mounted" '^true' "$(state_of configfs)"
start_dbus
check_equal "what is missing now is tcmu-runner" "tcmu-runner &" "$(mend_of tcmu-runner)"

section "with everything"
start_stack
rmdir "$(<"$target/dbroot")/pr" 2>/dev/null
check_equal "the folder of reservations is missing" "mkdir -p $(<"$target/dbroot")/pr" \
  "$(mend_of reservations)"
thin_create served /srv/served 16M
served=$(loop_create 5001405000000001 served)
check_match "and the handler's log says how to make it" "mkdir -p $(<"$target/dbroot")/pr" \
  "$(<"$runner_log")"
check_fails "without it the kernel fails" 2 "Not ready" \
  sg_persist --out --register --param-sark=1 "$served"
eval "$(mend_of reservations)"
check_match "its command mends that" '^true' "$(state_of reservations)"
check "and reservations are granted" sg_persist --out --register-ignore --param-sark=1 "$served"
loop_remove 5001405000000001
backstore_remove served
check "thindoctor is content" thindoctor /srv
check_equal "the handler is registered" "true registered with tcmu-runner" \
  "$(state_of "handler user:thin")"
check_equal "modules are loaded" "true loaded" "$(state_of tcm_loop)"
check_match "no LUN takes memory" '^true the rings of 0 LUNs take 0 of [0-9]+ MiB' "$(state_of "LUNs: memory")"
check_match "and tasks are few" '^true 0 LUNs take up to 16 of [0-9]+ tasks' "$(state_of "LUNs: tasks")"

section "with tcmu-runner gone"
end_runner TERM
check_match "tcmu-runner is missing" '^false not running' "$(state_of tcmu-runner)"
check_match "the handler is installed still" '^true installed' "$(state_of "handler user:thin")"

section "with the handler gone"
rm /usr/lib/x86_64-linux-gnu/tcmu-runner/handler_thin.so
check_equal "the handler is missing" "cmake --install build" "$(mend_of "handler user:thin")"
start_runner
check_equal "without the handler it is not registered" "cmake --install build" \
  "$(mend_of "handler user:thin")"
ln -s "$LAB_BUILD/lib/handler_thin.so" /usr/lib/x86_64-linux-gnu/tcmu-runner/
check_match "a handler put there later needs a restart" 'restart|start it again' \
  "$(mend_of "handler user:thin")"

section "file systems"
mkdir -p /mnt/vfat
read -r disk _ <<<"$LAB_DISKS"
if mkfs.vfat -I "$disk" >/dev/null 2>&1 && mount -t vfat "$disk" /mnt/vfat; then
  check_fails "vfat cannot hold volumes" 1 "MISSING +hole punching +/mnt/vfat" thindoctor /mnt/vfat
else
  not_ok "vfat cannot hold volumes" "no vfat on $disk"
fi
stop_stack
finish_checks
