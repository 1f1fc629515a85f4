# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# KVM or emulation. Sourced by `lab`.
#
# "counted" is emulation of one processor whose clock goes by the instructions it executes (8 ns
# each), and runs ahead when there is nothing to do: what programs measure then is what they cost,
# however busy this machine is.
# shellcheck disable=SC2154,SC2034 # variables shared with lab and boot-files.sh
#
# /dev/kvm may be there and not work: the guest hangs, or qemu aborts. So KVM is used only after a
# probe guest has really booted under it. The answer is remembered until the machine boots again.

readonly probe_seconds=25

# Without what is fast in silicon and slow in emulation: `rep movsb` goes byte by byte (the kernel
# copies 2 to 4 times as fast without ERMS), AVX through helper functions; SMAP, SMEP and five-level
# page tables only cost time.
readonly emulated_cpu="max,erms=off,fsrm=off,avx=off,avx2=off,smap=off,smep=off,la57=off"

# Boots the lab's own kernel and initramfs, which say "lab: alive" and restart when so asked.
kvm_boots() {
  local log=$1
  # In a subshell, which keeps quiet about a qemu that aborts.
  (
    ulimit -c 0
    timeout -k 2 "$probe_seconds" qemu-system-x86_64 -accel kvm -cpu host -machine pc -smp 2 -m 512 \
      -nodefaults -no-user-config -display none -monitor none -nic none -no-reboot \
      -kernel "$kernel_image" -initrd "$initramfs" \
      -append "console=ttyS0 loglevel=5 panic=-1 lab.probe" \
      -serial "file:$log" </dev/null 9>&-
    true
  ) >/dev/null 2>&1
  grep -aqs 'lab: alive' "$log"
}

# Sets accel and accel_arguments. DIRECTORY keeps the answer.
choose_accel() {
  local directory=$1 key answer
  accel=${LAB_ACCEL:-}
  if [[ -z $accel ]]; then
    accel=tcg
    if [[ -r /dev/kvm && -w /dev/kvm ]]; then
      key="$(</proc/sys/kernel/random/boot_id) $(<"$directory/boot/stamp")"
      if [[ -e $directory/kvm && $(head -n 1 "$directory/kvm") == "$key" ]]; then
        answer=$(tail -n 1 "$directory/kvm")
      else
        answer=no
        if kvm_boots "$directory/kvm-probe.log"; then answer=yes; fi
        printf '%s\n%s\n' "$key" "$answer" >"$directory/kvm"
      fi
      [[ $answer != yes ]] || accel=kvm
    fi
  fi
  case $accel in
    kvm) accel_arguments=(-accel kvm -cpu host) ;;
    tcg) accel_arguments=(-accel "tcg,thread=multi" -cpu "$emulated_cpu") ;;
    counted)
      accel_arguments=(-accel "tcg,thread=single" -icount "shift=3,sleep=off" -cpu "$emulated_cpu")
      cpus=1
      ;;
    *) die "LAB_ACCEL is kvm, tcg or counted, not '$accel'" ;;
  esac
}
