# One stage of one item: works for a tenth of a second, and adds a line to what came before it.
#     stage.sh NAME ITEM OUT [IN]
sleep 0.1
if [ -n "$4" ]; then
    cat "$4" > "$3"
fi
echo "$(date +%s%N) $1-$2" >> "$3"
