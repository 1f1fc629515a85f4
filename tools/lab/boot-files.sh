# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the guest boots from: an unpacked kernel and a small initramfs. Sourced by `lab`.
# shellcheck disable=SC2154,SC2034 # `here` comes from lab, kernel_image goes to it

# Modules for reaching the root: virtio, 9p, the overlay on it and the scratch disks.
# All others the guest loads itself, from the host's /lib/modules.
readonly boot_modules=(virtio_pci 9pnet_virtio 9p overlay virtio_blk)

# The newest kernel that has both an image and modules; nothing when there is none.
kernel_release() {
  local image release newest=
  while read -r image; do
    release=${image#/boot/vmlinuz-}
    if [[ -r $image && -e /lib/modules/$release/modules.dep ]]; then newest=$release; fi
  done < <(printf '%s\n' /boot/vmlinuz-* | sort -V)
  echo "$newest"
}

# An unpacked kernel starts through PVH, which saves the emulated CPU the decompression: 4 s of 10.
# The boot header has the payload's place: setup_sects at 1F1h, payload_offset and _length at 248h.
unpack_kernel() {
  local image=$1 result=$2 sectors offset length
  sectors=$(od -An -t u1 -j $((0x1f1)) -N 1 "$image")
  read -r offset length < <(od -An -t u4 -j $((0x248)) -N 8 "$image")
  # The payload's last four bytes are its unpacked size.
  head -c "$(((sectors + 1) * 512 + offset + length - 4))" "$image" | tail -c "$((length - 4))" |
    xz -dc >"$result" 2>/dev/null && [[ $(head -c 4 "$result") == $'\x7fELF' ]]
}

build_initramfs() {
  local release=$1 result=$2 tree module file
  tree=$(mktemp -d "$(dirname "$result")/tree.XXXXXX")
  mkdir -p "$tree"/{bin,dev,host,lab,modules,proc,root,rw,sys}
  cp "$(command -v busybox)" "$tree/bin/busybox"
  install -m 755 "$here/guest/init" "$tree/init"
  for module in "${boot_modules[@]}"; do
    modprobe -S "$release" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tree/files"
  while read -r file; do
    cp "$file" "$tree/modules/"
    echo "/modules/${file##*/}" >>"$tree/modules/order"
  done <"$tree/files"
  rm "$tree/files"
  (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$result"
  rm -rf "$tree"
}

# Sets kernel_image and initramfs, made anew in DIRECTORY when the kernel or our part has changed.
prepare_boot_files() {
  local directory=$1 release stamp
  release=$(kernel_release)
  [[ -n $release ]] || die "no /boot/vmlinuz-* with modules that $(id -un) can read"
  local PATH=$PATH:/usr/sbin:/sbin
  stamp="$release $(cat "$here/boot-files.sh" "$here/guest/init" | sha256sum) \
$(stat -Lc '%s %Y' "/boot/vmlinuz-$release" "$(command -v busybox)" | tr '\n' ' ')"
  kernel_image=$directory/vmlinux
  initramfs=$directory/initramfs
  if [[ -e $directory/stamp && $(<"$directory/stamp") == "$stamp" ]]; then
    [[ -e $kernel_image ]] || kernel_image=/boot/vmlinuz-$release
    return
  fi
  rm -rf "$directory"
  mkdir -p "$directory"
  if ! unpack_kernel "/boot/vmlinuz-$release" "$kernel_image"; then
    rm -f "$kernel_image"
    kernel_image=/boot/vmlinuz-$release
  fi
  build_initramfs "$release" "$initramfs"
  echo "$stamp" >"$directory/stamp"
}
