#!/bin/sh
# Installs a built gateway for systemd: the program, the adapters, the unit, and the configuration below /etc/ltcgw,
# of which nothing that is there already is ever touched. Again after `cargo build` it is the update.
#
#   sudo deploy/install.sh                           # what docs/administrator.md#install goes on from
#   DESTDIR=/tmp/root deploy/install.sh              # into another root: for packages and for looking
#   LTCGW_BINARY=target/debug/ltcgw deploy/install.sh
#
# Starts nothing and makes no keys.

set -eu

cd "$(dirname "$0")/.."
root=${DESTDIR:-}
binary=${LTCGW_BINARY:-${CARGO_TARGET_DIR:-target}/release/ltcgw}

say() { echo "install: $*"; }

[ -x "$binary" ] || { echo "install: $binary is not there; run cargo build --release --locked first, or name the program in LTCGW_BINARY" >&2; exit 1; }
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
    echo "install: this writes to /usr/local and /etc; run it with sudo, or into another root with DESTDIR" >&2
    exit 1
fi

# The account it runs under. In another root nobody is made, and everything stays the caller's.
if [ -z "$root" ] && ! getent passwd ltcgw >/dev/null; then
    useradd --system --user-group --home-dir /var/lib/ltcgw --shell /usr/sbin/nologin ltcgw
    say "made the account ltcgw"
fi
secret() {
    chmod "$1" "$2"
    [ -n "$root" ] || chown root:ltcgw "$2"
}

install -D -m 0755 "$binary" "$root/usr/local/bin/ltcgw"
# Whole, so that an adapter taken out of the project is gone here too.
rm -rf "$root/usr/local/share/ltcgw/adapters"
mkdir -p "$root/usr/local/share/ltcgw"
cp -R adapters "$root/usr/local/share/ltcgw/adapters"
install -D -m 0644 deploy/ltcgw.service "$root/etc/systemd/system/ltcgw.service"

etc=$root/etc/ltcgw
mkdir -p "$etc"
for file in $(cd config && find . -type f ! -path './pki/*' ! -path './secrets/*' | sed 's|^\./||' | sort); do
    if [ -e "$etc/$file" ]; then
        cmp -s "config/$file" "$etc/$file" || say "$etc/$file stays as it is"
        continue
    fi
    mkdir -p "$(dirname "$etc/$file")"
    case $file in
    gateway.toml) # The two paths that lead out of the folder.
        sed -e 's|^data_dir = "[^"]*"|data_dir = "/var/lib/ltcgw"|' \
            -e 's|^adapters_dir = "[^"]*"|adapters_dir = "/usr/local/share/ltcgw/adapters"|' "config/$file" >"$etc/$file"
        ;;
    *) cp "config/$file" "$etc/$file" ;;
    esac
    chmod 0644 "$etc/$file"
done
# Read by the account, written by root: keys are put here by whoever keeps the machine. The gateway never writes here.
for folder in "$etc" "$etc/pki" "$etc/pki/outbound" "$etc/secrets"; do
    mkdir -p "$folder"
    secret 0750 "$folder"
done
find "$etc/pki" "$etc/secrets" -type f \( -name '*.key' -o -path '*/secrets/*' \) | while read -r key; do secret 0640 "$key"; done

say "installed; go on with certificates and keys in $etc/pki, then: ltcgw doctor --config /etc/ltcgw"
