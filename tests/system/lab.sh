#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the guest is what tools/lab/lab promises, and the checks of lib.sh can fail.
. "$LAB_REPO/tools/lab/guest/lib.sh"

check_equal "the script is run by root" 0 "$EUID"
check "LAB_OUT is writable" touch "$LAB_OUT/probe"
check "there are two empty scratch disks" blkdiscard "${LAB_DISKS% *}"
check "scratch disks can be formatted" mkfs.ext4 -q "${LAB_DISKS#* }"
check "the rest of the root is writable, too" touch /etc/probe
check "the build's programs are on PATH" thinvol --help
check "the handler is where tcmu-runner looks" \
  test -r /usr/lib/x86_64-linux-gnu/tcmu-runner/handler_thin.so
check_fails "the repository itself is out of reach for writes" 1 . \
  touch "/proc/1/root/../host/$LAB_REPO/README.md"

# A check that fails must say so, or none of the others means anything.
check_equal "a failed check prints 'not ok' and fails the script" \
  "$(printf 'not ok 1 - x\n1')" \
  "$( (checks=0 failures=0; check x false; ((failures == 1)); echo $?) | grep -v '^#' | sed 's/^0$/1/')"

start_stack
managed=$(dbus-send --system --print-reply --dest=org.kernel.TCMUService1 /org/kernel/TCMUService1 \
  org.freedesktop.DBus.ObjectManager.GetManagedObjects)
check_match "tcmu-runner has our handler" TCMUService1/thin "$managed"
check "the stack stops" stop_stack
check "no tcmu-runner is left" not pgrep -x tcmu-runner
finish_checks
