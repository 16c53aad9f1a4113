# awk -v lr=RATE -v seed=N -v out=FILE -f train.awk POINTS
#
# Fits y = a x + b by stochastic gradient descent: 40 steps, each on 8 points drawn at random. Every
# fifth point is held out; the mean squared error on those goes to FILE as JSON.

function random() { state = (state * 16807) % 2147483647; return state / 2147483647 }

function held_out_error(    i, sum) {
    sum = 0
    for (i = 0; i < held; i++) sum += (a * held_x[i] + b - held_y[i]) ^ 2
    return sum / held
}

NR % 5 == 0 { held_x[held] = $1; held_y[held++] = $2; next }
{ x[count] = $1; y[count++] = $2 }

END {
    state = 7919 * seed + 1
    a = random() - 0.5
    b = random() - 0.5
    for (step = 1; step <= 40; step++) {
        slope = 0
        shift = 0
        for (n = 0; n < 8; n++) {
            i = int(count * random())
            error = a * x[i] + b - y[i]
            slope += 2 * error * x[i] / 8
            shift += 2 * error / 8
        }
        a -= lr * slope
        b -= lr * shift
        loss = held_out_error()
        if (loss > 1000) {
            printf "diverged at step %d: the error is %g; choose a smaller learning rate\n", step, loss > "/dev/stderr"
            exit 1
        }
        if (step % 10 == 0) printf "step %d: error %.6f\n", step, loss
    }
    printf "{\"lr\": %s, \"seed\": %s, \"error\": %.6f, \"a\": %.4f, \"b\": %.4f}\n", lr, seed, loss, a, b > out
}
