#!/bin/sh
# Unpacks Debian packages into a folder that becomes the image's root: no package's script runs there, and nothing is
# in it that its list does not name. So there is no shell, no package manager, and nothing set-user-id.
#
#   system-root.sh LIST ROOT
set -eu
list=$1
root=$2

for name in bin lib lib64 sbin; do
  mkdir -p "$root/usr/$name"
  ln -s "usr/$name" "$root/$name"
done
mkdir -p "$root/var/lib/dpkg/status.d"

downloads=$(mktemp -d)
cd "$downloads"
xargs apt-get download < "$list"
# Copyright files stay: they are part of the licences. Modules of Python whose libraries are not in the list go,
# tests, what debuggers load, and encodings that no server or file of ours is written in.
cat > left-out <<'END'
./usr/share/doc/*.gz
./usr/share/info/*
./usr/share/lintian/*
./usr/share/man/*
./usr/lib/*/gconv/*
./usr/lib/python3.11/test/*
./usr/lib/python3.11/pydoc_data/*
./usr/lib/python3.11/turtle*
./usr/lib/python3.11/doctest.py
./usr/lib/python3.11/aifc.py
./usr/lib/python3.11/cgitb.py
./usr/lib/python3.11/imaplib.py
./usr/lib/python3.11/mailbox.py
./usr/lib/python3.11/nntplib.py
./usr/lib/python3.11/poplib.py
./usr/lib/python3.11/smtpd.py
./usr/lib/python3.11/sunau.py
./usr/lib/python3.11/telnetlib.py
./usr/lib/python3.11/pickletools.py
./usr/lib/python3.11/pydoc.py
./usr/lib/python3.11/_pydecimal.py
./usr/lib/python3.11/_pyio.py
./usr/lib/python3.11/unittest/*
./usr/lib/python3.11/xmlrpc/*
./usr/lib/python3.11/lib-dynload/_codecs_*
./usr/lib/python3.11/lib-dynload/_curses*
./usr/lib/python3.11/lib-dynload/_dbm*
./usr/lib/python3.11/lib-dynload/_sqlite3*
./usr/lib/python3.11/lib-dynload/nis*
./usr/lib/python3.11/lib-dynload/readline*
./usr/lib/python3.11/lib-dynload/_test*
./usr/lib/python3.11/lib-dynload/_xx*
./usr/lib/python3.11/lib-dynload/xxlimited*
./usr/lib/python3.11/lib-dynload/_ctypes_test*
./usr/lib/python3.11/lib-dynload/audioop*
./usr/lib/python3.11/lib-dynload/ossaudiodev*
./usr/lib/python3.11/encodings/big5*
./usr/lib/python3.11/encodings/cp[0245678]*[0-689].py
./usr/lib/python3.11/encodings/cp9*
./usr/lib/python3.11/encodings/cp10*
./usr/lib/python3.11/encodings/cp11*
./usr/lib/python3.11/encodings/euc_*
./usr/lib/python3.11/encodings/gb*
./usr/lib/python3.11/encodings/hp_*
./usr/lib/python3.11/encodings/hz*
./usr/lib/python3.11/encodings/iso2022*
./usr/lib/python3.11/encodings/johab*
./usr/lib/python3.11/encodings/koi8*
./usr/lib/python3.11/encodings/kz1048*
./usr/lib/python3.11/encodings/mac_*
./usr/lib/python3.11/encodings/palmos*
./usr/lib/python3.11/encodings/ptcp154*
./usr/lib/python3.11/encodings/shift_jis*
./usr/lib/python3.11/encodings/tis_620*
./usr/lib/*/libBrokenLocale*
./usr/lib/*/libc_malloc_debug*
./usr/lib/*/libexpatw*
./usr/lib/*/libmemusage*
./usr/lib/*/libnss_compat*
./usr/lib/*/libnss_hesiod*
./usr/lib/*/libpcprofile*
./usr/lib/*/libthread_db*
./usr/share/gcc/*
./usr/share/gdb/*
END
for package in *.deb; do
  dpkg-deb --fsys-tarfile "$package" |
    tar --extract --directory "$root" --keep-directory-symlink --wildcards --exclude-from left-out
  # One file a package, as scanners of images without dpkg read them.
  dpkg-deb --field "$package" > "$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
cd /
rm -r "$downloads"

# What the packages' scripts would have made.
ln -s python3.11 "$root/usr/bin/python3"
install -D --mode=644 -t "$root/etc/ssl/certs" /etc/ssl/certs/ca-certificates.crt
printf 'root:x:0:0:root:/root:/nonexistent\nrushes:x:10001:10001:Rushes:/tmp:/nonexistent\n' > "$root/etc/passwd"
printf 'root:x:0:\nrushes:x:10001:\n' > "$root/etc/group"
