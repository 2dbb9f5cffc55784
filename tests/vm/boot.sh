#!/bin/sh
# Runs systemd as the first process of namespaces of its own, on a copy of this machine's files that is gone with them.
#
#   boot.sh FOLDER CGROUP SOURCE TARGET   FOLDER: an empty one; CGROUP: of version 2; SOURCE is shown at TARGET, to read
#
# It has its own processes, mounts, host name and loopback, and no other network. Needs root.
set -eu
if [ "${1}" != inside ]; then
  echo $$ >"$2/cgroup.procs"
  exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child "$0" inside "$@"
fi
shift
folder=$1 source=$3 target=$4

mount --make-rprivate /
mount -t tmpfs -o size=2g,mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  : >"dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p "./$target" mnt/host
mount --bind -o ro "$source" "./$target"
pivot_root . mnt/host
umount -l /mnt/host

hostname studio
# Nothing of this machine starts but what a test asks for.
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >/etc/systemd/system/bare.target
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
export container=rushes PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /lib/systemd/systemd --system --unit=bare.target --log-target=console --show-status=no </dev/null
