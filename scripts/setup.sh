#!/bin/sh
# Set this checkout up: the Python packages in .venv, the libraries that draw PDFs and, for tests, the real servers.
#
# Called by the Makefile: `scripts/setup.sh run` or `scripts/setup.sh test`. Does only what is missing, so calling it
# again costs a moment. As root, or with a sudo that asks no password, Debian's packages are installed by apt-get and
# no service is started. Without, the libraries are unpacked into .vendor/ for this checkout alone. Where neither can
# be done it prints the exact line to type. A missing server does not stop it: the tests that need it skip by name (in
# CI they fail).
set -eu
cd "$(dirname "$0")/.."
here=$(pwd)

libraries="libpangoft2-1.0-0 libharfbuzz-subset0"
fonts="fonts-dejavu-core"
servers="postfix dovecot-core dovecot-imapd dovecot-lmtpd dovecot-submissiond opendkim opendkim-tools rspamd postgresql chromium poppler-utils knot knot-dnsutils unbound libatomic1 libidn12"
beside="exim4-daemon-light" # its package and Postfix's exclude each other: unpacked into .servers/, never installed
services="postfix dovecot opendkim rspamd postgresql knot unbound"

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

# --- Debian packages ------------------------------------------------------------------------------------------------

may_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

absent() { # the packages among "$@" that are not installed
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
        case $status in ii*) ;; *) printf '%s ' "$package" ;; esac
    done
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" 2>&1
}

refresh_lists() { # only when they are older than a day, or were never fetched
    recent=$(find /var/lib/apt/lists -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1)
    [ -n "$recent" ] || apt update || say "apt-get update failed; going on with the lists as they are"
}

install_packages() { # "$@", all or none; no service is started, and none is left to start at boot
    log=$(mktemp)
    policy=/usr/sbin/policy-rc.d
    if as_root [ -e $policy ]; then policy=; else
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
        # shellcheck disable=SC2064  # the name as it is now
        trap "as_root rm -f $policy" EXIT HUP INT TERM
    fi
    case " $* " in *" postfix "*)
        echo "postfix postfix/main_mailer_type select No configuration" | as_root debconf-set-selections || true ;;
    esac
    done=0
    apt install -y --no-install-recommends "$@" >"$log" || done=$?
    if [ -n "$policy" ]; then
        as_root rm -f $policy
        trap - EXIT HUP INT TERM
    fi
    [ $done = 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return $done
}

keep_from_booting() { # services that came with packages this script installed
    [ -d /run/systemd/system ] || return 0
    for service in "$@"; do
        as_root systemctl disable "$service" >/dev/null 2>&1 || true
    done
}

# --- Python ---------------------------------------------------------------------------------------------------------

find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
}

set_up_python() {
    python=$(find_python)
    if [ -z "$python" ] && may_install; then
        refresh_lists
        install_packages python3 python3-venv || true
        python=$(find_python)
    fi
    [ -n "$python" ] || stop "Python 3.11 or newer is not installed. Type: sudo apt-get install python3 python3-venv"
    packages=$({ echo "$here"; "$python" -VV; cat requirements-build.lock requirements.lock; } | sha256sum)
    project=$(sha256sum <pyproject.toml)
    pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip --quiet install"
    if [ "$(cat .venv/packages.stamp 2>/dev/null)" != "$packages" ] || ! .venv/bin/python -c '' 2>/dev/null; then
        make_venv
        # First what builds packages: so nothing is fetched that no lock names, not even to build a source archive.
        $pip --require-hashes -r requirements-build.lock
        $pip --require-hashes --no-build-isolation --use-pep517 -r requirements.lock
        printf '%s\n' "$packages" >.venv/packages.stamp
    fi
    if [ "$(cat .venv/project.stamp 2>/dev/null)" != "$project" ]; then
        $pip --no-deps --no-build-isolation --editable .
        printf '%s\n' "$project" >.venv/project.stamp
    fi
}

make_venv() { # with $python
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if may_install; then
            refresh_lists
            install_packages python3-venv || true
        fi
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            stop "Python's venv module is missing. Type: sudo apt-get install python3-venv"
    fi
    say "installing the locked Python packages into .venv"
    rm -rf .venv
    "$python" -m venv .venv
}

# --- the libraries that draw PDFs -----------------------------------------------------------------------------------

libraries_load() { # as WeasyPrint will load them, with .vendor when there is one
    (
        if [ -f .vendor/env.sh ]; then . ./.vendor/env.sh; fi
        .venv/bin/python -c '
import ctypes
for name in ("libpango-1.0.so.0", "libpangoft2-1.0.so.0", "libharfbuzz-subset.so.0", "libfontconfig.so.1"):
    ctypes.CDLL(name)' 2>/dev/null
    )
}

fonts_exist() {
    set -- /usr/share/fonts /usr/local/share/fonts "${HOME:-/nonexistent}/.local/share/fonts" .vendor/usr/share/fonts
    [ -n "$(find "$@" -name '*.[to]tf' 2>/dev/null | head -n 1)" ]
}

unpack_for_user() { # "$@" and what they need, into .vendor/, with package lists of our own
    say "unpacking $* into .vendor"
    rm -rf .vendor
    mkdir -p .vendor/apt/lists/partial .vendor/apt/cache/archives/partial .vendor/deb
    cat >.vendor/apt/apt.conf <<CONF
Dir::State "$here/.vendor/apt";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$here/.vendor/apt/cache";
Acquire::Retries "3";
CONF
    (
        export APT_CONFIG="$here/.vendor/apt/apt.conf"
        apt-get -qq update >/dev/null || exit 1
        needed=$(apt-get -qq --no-install-recommends --simulate install "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p')
        cd .vendor/deb
        # shellcheck disable=SC2086
        apt-get -qq download $needed >/dev/null
    ) || return 1
    for package in .vendor/deb/*.deb; do dpkg-deb -x "$package" .vendor || return 1; done
    rm -rf .vendor/apt .vendor/deb
    write_vendor_env
}

write_vendor_env() {
    folders=$(find .vendor/usr/lib .vendor/lib -name '*.so.*' 2>/dev/null | sed 's|/[^/]*$||' | sort -u)
    found=$(printf '%s\n' "$folders" | sed "s|^|$here/|" | paste -sd :)
    cat >.vendor/fonts.conf <<CONF
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>/usr/share/fonts</dir>
  <dir>$here/.vendor/usr/share/fonts</dir>
  <cachedir>$here/.vendor/fontcache</cachedir>
</fontconfig>
CONF
    cat >.vendor/env.sh <<ENV
# Libraries and fonts unpacked for this checkout; make sources it. To run .venv/bin/gateway by hand, source it first.
export LD_LIBRARY_PATH='$found'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
export FONTCONFIG_FILE='$here/.vendor/fonts.conf'
ENV
}

set_up_libraries() {
    if libraries_load && fonts_exist; then return; fi
    if may_install; then
        refresh_lists
        # shellcheck disable=SC2086
        set -- $(absent $libraries $fonts)
        [ $# = 0 ] || say "installing $*"
        [ $# = 0 ] || install_packages "$@" || say "could not install $*"
    elif command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        unpack_for_user $libraries $fonts || say "could not fetch $libraries $fonts"
    fi
    if libraries_load && fonts_exist; then return; fi
    stop "PDFs need Pango, HarfBuzz and a font. Type: sudo apt-get install $libraries $fonts"
}

# --- the servers of the tests ---------------------------------------------------------------------------------------

set_up_servers() {
    command -v dpkg-query >/dev/null 2>&1 || { say "not a Debian: tests with real servers will be skipped"; return 0; }
    # shellcheck disable=SC2086
    set -- $(absent $servers)
    [ $# != 0 ] || return 0
    if ! may_install; then
        say "tests that need these will be skipped. Type: sudo apt-get install $*"
        return 0
    fi
    say "installing $*"
    refresh_lists
    new=$*
    if ! install_packages "$@"; then
        apt update || true
        for package in "$@"; do install_packages "$package" || say "could not install $package; its tests are skipped"; done
    fi
    for service in $services; do
        case " $new " in *" $service"*) keep_from_booting "$service" ;; esac
    done
}

unpack_beside() { # servers that cannot be installed beside others; what they need besides is in $servers
    [ ! -e .servers/usr/sbin/exim4 ] && command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 0
    say "unpacking $beside into .servers"
    mkdir -p .servers/deb
    # shellcheck disable=SC2086
    (cd .servers/deb && apt-get -qq download $beside >/dev/null 2>&1) || say "could not fetch $beside; its tests are skipped"
    for package in .servers/deb/*.deb; do
        [ ! -e "$package" ] || dpkg-deb -x "$package" .servers || say "could not unpack $package"
    done
    rm -rf .servers/deb
    chmod -R u-s,g-s .servers
}

case ${1:-} in
    run) set_up_python; set_up_libraries ;;
    test) set_up_python; set_up_libraries; set_up_servers; unpack_beside ;;
    *) stop "usage: scripts/setup.sh run|test" ;;
esac
