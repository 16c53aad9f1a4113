# awk -v out=FILE -f where.awk RESULT...
#
# Each RESULT is one line of JSON that work.sh wrote. Prints what ran where, and counts it.

{
    match($0, /"function": "[^"]*"/)
    name = substr($0, RSTART + 13, RLENGTH - 14)
    match($0, /"gpus": "[^"]*"/)
    gpus = substr($0, RSTART + 9, RLENGTH - 10)
    printf "%-10s %s\n", name, gpus == "" ? "cores" : gpus
    if (gpus == "") {
        on_cores++
    } else {
        on_gpus++
        cards = split(gpus, card, ",")
        for (i = 1; i <= cards; i++) if (!(card[i] in used)) { used[card[i]] = 1; different++ }
    }
}

END { printf "{\"on_gpus\": %d, \"on_cores\": %d, \"gpus_used\": %d}\n", on_gpus, on_cores, different > out }
