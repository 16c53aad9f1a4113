# awk -v out=FILE -f best.awk RESULT...
#
# Each RESULT is one line of JSON that train.awk wrote. Errors are averaged over the seeds; the learning
# rate with the smallest mean goes to FILE as JSON, and a table to standard output.

{
    gsub(/[{}" ]/, "")
    fields = split($0, pairs, ",")
    for (i = 1; i <= fields; i++) {
        split(pairs[i], pair, ":")
        value[pair[1]] = pair[2]
    }
    lr = value["lr"]
    if (!(lr in runs)) order[rates++] = lr
    sum[lr] += value["error"]
    runs[lr]++
}

END {
    if (rates == 0) {
        print "best.awk: nothing succeeded, so there is nothing to compare" > "/dev/stderr"
        exit 1
    }
    best = order[0]
    for (i = 0; i < rates; i++) {
        lr = order[i]
        mean[lr] = sum[lr] / runs[lr]
        printf "learning rate %s: mean error %.6f over %d seeds\n", lr, mean[lr], runs[lr]
        if (mean[lr] < mean[best]) best = lr
    }
    printf "{\"lr\": %s, \"mean_error\": %.6f, \"seeds\": %d, \"rates\": %d}\n", best, mean[best], runs[best], rates > out
}
