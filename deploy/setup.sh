#!/bin/sh
# Sets up everything that inspector needs on this machine. Safe to repeat; a second run does nothing.
#
#   deploy/setup.sh run     what running needs
#   deploy/setup.sh test    and what the tests need
#
# LLM=default (1.1 GB), LLM=small (93 MB) or LLM=none says which language model is fetched.
set -eu
cd "$(dirname "$0")/.."

purpose=${1:-run}
llm=${LLM:-default}
python=${PYTHON:-python3}
venv=.venv

step() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# -- system packages: the camera library, the broker, a compiler, what OpenCV links to ------------
packages="libaravis-0.8-0 mosquitto gcc libc6-dev make libgl1 libglib2.0-0 libxml2"
[ "$purpose" = test ] && packages="$packages aravis-tools aravis-tools-cli tshark openssl"
missing=
for package in $packages; do
    # Newer Debian and Ubuntu releases carry some of these under a name ending in t64.
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        dpkg-query -W -f '${Status}' "${package}t64" 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
done
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then missing="$missing python3-venv"; fi
if [ -n "$missing" ]; then
    step "System packages:$missing"
    command -v apt-get >/dev/null || die "please install with your package manager:$missing"
    if [ "$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null; then as_root=sudo; else
        die "not root and no sudo; please run as root: apt-get install$missing"
    fi
    # The broker is started by us on a free loopback port: keep apt from starting its own on 1883.
    $as_root sh -c "
        set -e
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        policy=/usr/sbin/policy-rc.d
        if [ ! -e \$policy ]; then
            printf '#!/bin/sh\nexit 101\n' > \$policy; chmod +x \$policy
            trap \"rm -f \$policy\" EXIT
        fi
        apt-get install -y -qq --no-install-recommends $missing > /dev/null
    " || die "apt-get could not install:$missing"
fi

# -- Python ---------------------------------------------------------------------------------------
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "Python 3.11 or newer is needed"
stamp="$venv/.setup"
wanted="$(cat pyproject.toml deploy/setup.sh | sha256sum) $(pwd) $("$python" -V)"
# In the tests engines for GPUs are built (350 MB on disk) and speech is recognised; a cell needs neither.
extras=dev
[ "$purpose" = test ] && extras=dev,rtx,speech
have=$(cat "$stamp" 2>/dev/null || :)
if [ "$have" != "$wanted $extras" ] && [ "$have" != "$wanted dev,rtx,speech" ]; then
    step "Python environment in $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --upgrade --quiet --disable-pip-version-check pip
    "$venv/bin/python" -m pip install --quiet --progress-bar on --disable-pip-version-check -e ".[$extras]"
    printf '%s' "$wanted $extras" > "$stamp"
fi

# -- our GenTL producer -----------------------------------------------------------------------------
make --silent -C inspector/camera/producer

# -- language models --------------------------------------------------------------------------------
case "$llm" in
    default) models=qwen2.5-coder-1.5b ;;
    small) models=smollm2-135m ;;
    none) models= ;;
    *) die "LLM=$llm: say default, small or none" ;;
esac
[ "$purpose" = test ] && [ "$llm" != none ] && models=smollm2-135m
for model in $models; do
    "$venv/bin/inspector" models pull "$model"
done
