#!/bin/sh
# Starts the Chromium beside this script with the libraries and the font that came along.
here="${0%/*}"
export LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_PATH="$here/fonts"
exec "$here/chromium" "$@"
