#!/bin/sh
# Make the sample sentences with Debian's speech synthesiser (apt-get install flite): scripts/make_sentences.sh OUT_DIR
set -eu
mkdir -p "$1"
say() { flite -voice "$2" -t "$3" -o "$1" && printf '%s\n' "$3" > "${1%.wav}.txt"; }
say "$1/face.wav" slt "Every face has its own way of speaking."
say "$1/measure.wav" rms "We measure what we claim, and we show how it was made."
say "$1/road.wav" awb "The road was long, but the view from the top was worth it."
