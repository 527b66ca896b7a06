"""What is accepted as the diagnosis of each slip in six models of `dev`: kinds, and places.

Factors and signs commute with whatever is linear, so such a slip lies anywhere on its stretch of the chain; a step
that was left out is at the tensor it makes or the one it reads; what overwrites also drops; a loop that misses a
sample drops it where the samples meet, at the loss; a value computed wrongly once more is at that value.
"""

from __future__ import annotations

from tests.battery.slips import Label


def label(kinds: str, tensors: str, ops: str = "") -> Label:
    """Kinds and places, each in a string; a tensor's gradient is as good a place as the tensor."""
    names = tensors.split()
    return Label(tuple(kinds.split()), (*names, *("d" + name for name in names), *ops.split()))


OUT = "z3 bce loss"
OUT_OPS = "logaddexp multiply subtract sum mean"
MLP_RELU_ROWS = {
    "the sigmoid was recomputed without its minus": label("wrong-local-rule wrong-argument sign", OUT, OUT_OPS),
    "m counts the entries of x, not its rows": label("scale", OUT, OUT_OPS),
    "the mask of the first layer used again at the second": label("wrong-argument wrong-operand", "h2 z2", "maximum"),
    "masked where the gradient is negative, not where z2 is": label("wrong-argument wrong-local-rule", "h2 z2",
                                                                    "maximum"),
    "multiplied by the ReLU itself instead of its slope": label("wrong-local-rule wrong-operand", "h1 z1", "maximum"),
    "the mask of the first layer from x @ W1 without the bias": label("wrong-argument", "h1 z1", "maximum"),
    "b1 sums dz2, copied from the line of b2": label("wrong-operand", "b1 z1", "add"),
    "W2 took the output of its own layer": label("wrong-operand", "W2 z2", "matmul"),
    "W2 not transposed on the way back": label("missing-transpose", "h1 z2 W2", "matmul"),
    "stepped W3 before going back through it": label("stale-value", "h2 z3 W3", "matmul"),
    "the derivative of a leaky ReLU at the first layer": label("wrong-local-rule", "h1 z1", "maximum"),
    "the gradient came out as label minus probability": label("sign", OUT, OUT_OPS),
    "only the half of the cross entropy with y": label("dropped-path missing-term wrong-local-rule", OUT, OUT_OPS),
    "forgot that log(1 - p) falls with p": label("sign wrong-local-rule", OUT, OUT_OPS),
    "stopped at the probability, without the sigmoid's derivative": label("missing-local-derivative wrong-local-rule",
                                                                          OUT, OUT_OPS),
    "p (1 - y) for p (1 - p)": label("wrong-operand wrong-argument wrong-local-rule", OUT, OUT_OPS),
    "took p - y and the sigmoid's derivative as well": label("double-derivative", OUT, OUT_OPS),
    "the einsum of W2 contracts the hidden units of W2 the wrong way": label("missing-transpose", "h1 z2 W2", "matmul"),
    "the forward loop put a ReLU on the logits too": label("wrong-argument wrong-local-rule", OUT, OUT_OPS),
    "the biases are summed, the weights averaged": label("scale", "b1 b2 b3 z1 z2 z3", "add"),
    "divides delta by m at each layer again": label("scale two", "h2 z2 h1 z1", "maximum matmul"),
    "the backward loop stops before the first layer": label("dropped-path treated-as-constant", "W1 b1 z1 h1",
                                                            "matmul add maximum"),
    "the weights are stepped inside the backward loop": label("stale-value two", "h2 z3 W3 h1 z2 W2", "matmul"),
    "the first sample is skipped": label("dropped-path missing-broadcast-reduction", OUT, "sum mean"),
    "the mask of the sample before": label("wrong-argument wrong-operand", "h1 z1", "maximum"),
    "the outer product of W2 the other way round": label("transposed-result", "W2 z2", "matmul"),
    "gb2 set, not added to": label("overwritten-accumulation missing-broadcast-reduction", "b2 z2", "add"),
    "masked the running gradient only after W2 and b2": label("missing-local-derivative stale-value", "h2 z2 W2 b2",
                                                              "maximum"),
    "both masks are those of the second layer": label("wrong-argument wrong-operand", "h1 z1", "maximum"),
    "neither averaged nor masked at the first layer": label("two", f"{OUT} h1 z1", f"{OUT_OPS} maximum"),
}

XENT = "Z2 logP hard uniform xent loss"
XENT_OPS = "log_softmax multiply sum negative mean add"
TARGET = f"Y {XENT}"
DECAYED = "multiply square sum add"
SOFTMAX_NET_COLUMNS = {
    "used the hard labels, as if there were no smoothing": label("wrong-operand missing-term dropped-path", TARGET,
                                                                 XENT_OPS),
    "smoothed over the other classes only": label("wrong-operand scale wrong-local-rule", TARGET, XENT_OPS),
    "gave each class the whole epsilon": label("scale wrong-operand wrong-local-rule", TARGET, XENT_OPS),
    "softmax over the samples": label("wrong-axis", XENT, XENT_OPS),
    "a sigmoid for each class in place of the softmax": label("wrong-local-rule wrong-operand", XENT, XENT_OPS),
    "averaged over the classes too": label("scale", XENT, XENT_OPS),
    "n is the number of classes": label("scale", XENT, XENT_OPS),
    "no decay on the second layer": label("missing-term", "W2 decay loss", DECAYED),
    "decays the first bias too": label("extra-term", "b1 decay loss", DECAYED),
    "the decay was written for a penalty without the half": label("scale", "W1 W2 decay", DECAYED),
    "subtracted the decay of W1, as in the update rule": label("sign", "W1 decay", DECAYED),
    "W2 was shrunk in place before it was used on the way back": label("stale-value scale", "A1 Z2 W2", "matmul"),
    "took tanh of the activation once more for its slope": label("wrong-argument", "A1 Z1", "tanh"),
    "b1 got the sum over everything": label("wrong-axis", "b1 Z1", "add"),
    "the correction for smoothing with the wrong sign": label("sign wrong-operand", TARGET, XENT_OPS),
    "the smoothed label without its uniform part": label("missing-term dropped-path wrong-operand", TARGET, XENT_OPS),
    "the parenthesis closes after the decay of W1": label("scale", "W1 decay", DECAYED),
    "sech instead of its square": label("wrong-local-rule", "A1 Z1", "tanh"),
    "cosh of the hidden layer's output": label("wrong-argument", "A1 Z1", "tanh"),
    "the slope of tanh at the input without its bias": label("wrong-argument", "A1 Z1", "tanh"),
    "the scores were shifted by the maximum of each class": label("wrong-axis wrong-argument wrong-local-rule", XENT,
                                                                  XENT_OPS),
    "took the softmax one entry at a time": label("softmax-diagonal", XENT, XENT_OPS),
    "the off-diagonal entries with a plus": label("softmax-diagonal sign", XENT, XENT_OPS),
    "forgot to normalise p": label("wrong-local-rule wrong-argument wrong-operand", XENT, XENT_OPS),
    "the decay of W1 is added with each sample": label("scale extra-term", "W1 decay", DECAYED),
    "gW2 set anew for each sample, the decay with it": label("overwritten-accumulation missing-broadcast-reduction",
                                                             "W2 Z2", "matmul"),
    "the loop ends one sample early": label("dropped-path missing-broadcast-reduction", XENT, "sum mean negative"),
    "the normaliser of the softmax as a constant": label(
        "treated-as-constant softmax-diagonal dropped-path missing-local-derivative", XENT, XENT_OPS),
    "the log probability where the probability belongs": label("wrong-argument wrong-operand wrong-local-rule", XENT,
                                                               XENT_OPS),
    "summed the log probabilities' gradient over the samples": label("wrong-axis", XENT, XENT_OPS),
    "neither tanh' nor the mean over the samples": label("two", f"{XENT} A1 Z1", f"{XENT_OPS} tanh"),
    "both decays go to W2": label("missing-term extra-term scale wrong-operand two", "W1 W2 decay", DECAYED),
}

FIT = "pred E fit loss"
FIT_OPS = "square sum divide subtract"
PENALTY_OPS = "square sum multiply"
SPREAD = "S sd var C"
SPREAD_OPS = "divide sqrt mean square"
RIDGE_TWO_OUTPUTS = {
    "the penalty's square lost its two": label("scale wrong-local-rule", "W penalty", PENALTY_OPS),
    "the penalty was averaged over the samples": label("scale", "W penalty", PENALTY_OPS),
    "no penalty on the first feature, as if it were the intercept": label("missing-term dropped-path", "W penalty",
                                                                          PENALTY_OPS),
    "the derivative of a lasso penalty": label("wrong-local-rule", "W penalty", PENALTY_OPS),
    "the penalty's line was lost": label("missing-term", "W penalty loss", f"{PENALTY_OPS} add"),
    "kept the two of the square though the half cancels it": label("scale wrong-local-rule", FIT, FIT_OPS),
    "W's gradient from the raw features": label("wrong-operand", "W pred", "matmul"),
    "W's gradient from features that are only centred": label("wrong-operand", "W pred", "matmul"),
    "predicted from features that are only centred": label("wrong-operand wrong-argument", f"{FIT} S",
                                                           "matmul square divide"),
    "the recomputed prediction forgot the intercept": label("wrong-argument dropped-path wrong-operand missing-term",
                                                            f"{FIT} b", "add square"),
    "one over sd, not its square, in the quotient rule": label("wrong-local-rule missing-local-derivative",
                                                               "S sd var", "divide sqrt"),
    "the quotient rule's minus is gone": label("sign", SPREAD, SPREAD_OPS),
    "dsd keeps a row for each sample": label("missing-broadcast-reduction", "S sd", "divide"),
    "the derivative of the root without its half": label("scale wrong-local-rule", SPREAD, SPREAD_OPS),
    "the derivative of the root taken at sd": label("wrong-argument wrong-local-rule", "sd var", "sqrt"),
    "the variance's mean was taken for a sum": label("scale", SPREAD, SPREAD_OPS),
    "the standard deviation taken as given": label("treated-as-constant dropped-path", SPREAD, SPREAD_OPS),
    "dmu added whole to each sample": label("scale missing-local-derivative", "mu X C", "mean subtract"),
    "dmu without its minus": label("sign", "mu X C", "mean subtract"),
    "the mean taken as given": label("treated-as-constant dropped-path", "mu X C", "mean subtract"),
    "sigma with n - 1": label("scale wrong-operand wrong-local-rule", "S sd var", "mean sqrt divide"),
    "one sigma for all features": label("wrong-axis", "S sd var mu", "mean sqrt divide"),
    "multiplied by sigma at the end": label("wrong-local-rule", "S sd C X", "divide"),
    "the projection on Z summed instead of averaged": label("scale", SPREAD, SPREAD_OPS),
    "the projection on Z not multiplied by Z again": label("missing-local-derivative wrong-local-rule wrong-operand",
                                                           SPREAD, SPREAD_OPS),
    "the mean of G over the features": label("wrong-axis", "mu X C", "mean subtract"),
    "penalised the intercept": label("extra-term", "b penalty", f"{PENALTY_OPS} add"),
    "one strength for both outputs": label("wrong-operand scale", "W penalty lam", PENALTY_OPS),
    "gS keeps the last output": label("overwritten-accumulation dropped-path", "S pred", "matmul"),
    "the second output's error against the first target": label("wrong-operand", f"{FIT} Y", "subtract"),
    "the column of the other output's weights": label("wrong-operand swapped", "S pred W", "matmul"),
    "the last feature left out of the loop": label("dropped-path", "X C S", "subtract divide"),
    "divided by the sd of the wrong features": label("wrong-operand wrong-argument", "S sd C X", "divide"),
    "the mean of the projection counts the features": label("scale", SPREAD, SPREAD_OPS),
    "inv squared where its cube belongs": label("wrong-local-rule missing-local-derivative", "S sd var", "divide sqrt"),
    "the path through inv replaces the direct one": label("overwritten-accumulation dropped-path", "S C", "divide"),
    "the gram matrix not divided by n": label("scale", "W pred E", "matmul subtract"),
    "the gradient of S not averaged, that of b with its sign turned": label("two", "S pred b", "matmul add"),
}

NORM = "xhat sd var c"
NORM_OPS = "divide sqrt mean multiply"
LAYER_NORM_RESIDUAL = {
    "the residual was added in place to h itself": label("stale-value wrong-operand", "W1 u h r", "matmul add"),
    "epsilon added to the standard deviation": label("wrong-local-rule wrong-argument wrong-operand", "xhat sd var",
                                                     "divide sqrt add"),
    "the gain's gradient from the output of the norm": label("wrong-operand", "g n", "multiply"),
    "the gain's gradient over the features": label("wrong-axis", "g n", "multiply"),
    "the gain forgot xhat, copied from the bias": label("missing-local-derivative wrong-operand", "g n", "multiply"),
    "the bias of the norm behind the gain": label("wrong-operand wrong-local-rule", "beta n", "add"),
    "went past the gain": label("missing-local-derivative", "xhat n g", "multiply"),
    "the power of the inverse deviation stayed at two": label("wrong-local-rule", "xhat sd var", "divide sqrt"),
    "dvar with the features before centring": label("wrong-operand wrong-argument", "xhat sd var", "divide sqrt"),
    "dvar with the normalised features": label("wrong-operand wrong-argument wrong-local-rule", "xhat sd var",
                                               "divide sqrt"),
    "dvar summed over the samples": label("wrong-axis", "xhat sd var", "divide sqrt"),
    "no two from the square in the variance": label("scale wrong-local-rule", NORM, NORM_OPS),
    "the first part of dc left without inv": label("missing-local-derivative", "c xhat", "divide"),
    "d is the number of samples": label("scale wrong-axis", "var mu c r", "mean"),
    "dmu before the variance's share, with a plus": label("sign", "mu r c", "mean subtract"),
    "tanh' at the sum instead of at the block's output": label("wrong-argument", "f u", "tanh"),
    "the slope of a logistic in place of tanh'": label("wrong-local-rule", "f u", "tanh"),
    "W1 from the block's output": label("wrong-operand", "W1 u", "matmul"),
    "only the block's way back, not the shortcut": label("dropped-path", "h r", "add"),
    "only the shortcut's way back": label("dropped-path", "h u", "matmul"),
    "the shortcut carried the gradient from before the norm": label("wrong-operand missing-local-derivative", "h r",
                                                                    "add"),
    "the means over the samples, as batch norm has them": label("wrong-axis", f"{NORM} mu r", "mean subtract divide"),
    "the gain multiplied at the end, outside the means": label("wrong-local-rule wrong-operand",
                                                               f"{NORM} mu r n g", "multiply divide mean"),
    "the gain multiplied at both ends": label("double-derivative", "g n xhat c r", "multiply divide"),
    "std held fixed in the short formula": label("treated-as-constant dropped-path", NORM, NORM_OPS),
    "the last term of the short formula with a plus": label("sign", NORM, NORM_OPS),
    "variance with d - 1 in the forward pass": label("scale wrong-operand wrong-local-rule", "xhat sd var",
                                                     "divide sqrt mean"),
    "W2 from xhat, without gain and bias": label("wrong-operand", "W2 out", "matmul"),
    "gain and bias exchanged in the return": label("swapped", "g beta n", "multiply add"),
    "inv is what the forward loop left behind": label("stale-value wrong-operand", "xhat sd c r", "divide"),
    "W1's outer product with the h of the last sample": label("stale-value wrong-operand", "W1 u", "matmul"),
    "the gain's gradient starts over at each sample": label("overwritten-accumulation missing-broadcast-reduction",
                                                            "g n", "multiply"),
    "W1 transposed in the loop": label("missing-transpose", "h u W1", "matmul"),
    "E with the input of the sample before": label("wrong-operand scatter", "E h", "einsum"),
    "the Jacobian of the norm without its ones": label("treated-as-constant dropped-path", "mu r c", "mean subtract"),
    "divides the Jacobian by the variance": label("wrong-local-rule double-derivative", "xhat sd c r", "divide"),
    "only the diagonal of the norm's Jacobian": label("treated-as-constant dropped-path wrong-local-rule",
                                                      f"{NORM} mu r", f"{NORM_OPS} subtract"),
    "cosh without the square, and the errors summed": label("two", "f u out diff loss",
                                                            "tanh square sum mean multiply"),
}

CHAIN = "Z P L loss"
CHAIN_OPS = "sigmoid log multiply subtract add mean negative"
BATCH = "N inv_std var D"
BATCH_OPS = "multiply power mean square"
BATCH_NORM_SIGMOID = {
    "log(1 - p) differentiated as if it were log p": label("wrong-argument wrong-local-rule", "P L", "log subtract"),
    "the negatives left out of the cross entropy": label("dropped-path missing-term", "P L", "log subtract add"),
    "averaged over the samples only": label("scale", CHAIN, CHAIN_OPS),
    "the mean applied to the first half only": label("scale", "P L loss", "log multiply subtract add mean"),
    "the output's sigmoid' at the logit": label("wrong-argument", "P Z", "sigmoid"),
    "the hidden sigmoid' at the output of the norm": label("wrong-argument", "A V", "sigmoid"),
    "tanh' for the hidden sigmoid": label("wrong-local-rule", "A V", "sigmoid"),
    "W2 from the values before the sigmoid": label("wrong-operand", "W2 Z", "matmul"),
    "gamma's gradient before the sigmoid was undone": label("missing-local-derivative wrong-operand", "gamma V A",
                                                            "multiply sigmoid"),
    "gamma's gradient with the raw pre-activations": label("wrong-operand", "gamma V", "multiply"),
    "beta averaged": label("scale missing-broadcast-reduction", "beta V", "add"),
    "gamma was stepped before it was used": label("stale-value", "N V gamma", "multiply"),
    "minus one half as the exponent of dvar": label("wrong-local-rule", "inv_std var", "power"),
    "the power rule without its minus one half": label("wrong-local-rule scale", BATCH, BATCH_OPS),
    "forgot epsilon in dvar": label("wrong-argument wrong-local-rule", "inv_std var", "power add"),
    "dinv_std summed over the units": label("wrong-axis", "inv_std N", "multiply"),
    "D with its square": label("wrong-local-rule wrong-argument", "var D", "square"),
    "divided by var instead of the deviation": label("wrong-local-rule wrong-operand double-derivative",
                                                     "D N inv_std", "multiply"),
    "the batch mean as a running constant": label("treated-as-constant dropped-path", "mu U D", "mean subtract"),
    "running averages in the recomputed norm": label("wrong-operand stale-value wrong-argument", "inv_std var N",
                                                     "mean power add multiply"),
    "Bessel's correction in the recomputed norm": label("scale wrong-operand wrong-local-rule", "inv_std var N",
                                                        "mean power multiply"),
    "the sigmoid' of the hidden layer counted twice": label("double-derivative", "A V", "sigmoid"),
    "the sum for beta turned into a mean, which the formula for batch norm reads too": label(
        "scale missing-broadcast-reduction two", "beta V mu D U", "add mean subtract"),
    "the hidden sigmoid passed through unchanged": label("missing-local-derivative", "A V", "sigmoid"),
    "no m before d1 in the formula for batch norm": label("scale", "N D U", "multiply subtract"),
    "hat missing before g_gamma": label("missing-local-derivative wrong-local-rule wrong-operand", BATCH, BATCH_OPS),
    "gamma missing from the formula for batch norm": label("missing-local-derivative", "N V gamma", "multiply"),
    "normalisation and scale only, mean and deviation as constants": label(
        "treated-as-constant dropped-path two", f"{BATCH} mu U", f"{BATCH_OPS} subtract"),
    "the deviation of the last unit for all of them": label("stale-value wrong-operand", "D N inv_std", "multiply"),
    "the first unit is never reached": label("dropped-path", "A V gamma beta U W1", "matmul sigmoid"),
    "the outer product of the norm's Jacobian not divided by m": label("scale", BATCH, BATCH_OPS),
    "the ones of the norm's Jacobian with a plus": label("sign", "mu U D", "mean subtract"),
    "the weights of the first output only": label("dropped-path missing-broadcast-reduction", "A Z W2", "matmul"),
    "the activation of the unit before": label("wrong-argument wrong-operand", "A V", "sigmoid"),
    "gamma and beta came back in each other's place": label("swapped", "gamma beta V", "multiply add"),
    "centred the whole of g instead of each unit": label("wrong-axis", "mu U D", "mean subtract"),
    "projected on the activations instead of the normalised values": label("wrong-operand wrong-argument", BATCH,
                                                                           BATCH_OPS),
    "gamma multiplied into grad_v in place before its own gradient was taken": label(
        "stale-value wrong-operand", "gamma beta V", "multiply add"),
    "multiplied by the deviation at the end": label("wrong-local-rule", "N D inv_std U", "multiply power"),
    "the error's sign turned and gamma left out": label("two", f"{CHAIN} N V gamma", CHAIN_OPS),
}

COUNTS = "eta rate log_rate nll loss"
COUNTS_OPS = "log1p exp log multiply subtract sum divide"
LINK_OPS = "log1p exp"
GATE = "s h z1"
GATE_OPS = "multiply divide add exp negative"
POISSON_TWO_LAYERS = {
    "the residual of the log link, rate minus count": label("wrong-local-rule", "eta rate log_rate nll",
                                                            "log1p exp log subtract"),
    "the derivative of the softplus left out": label("missing-local-derivative", "eta rate", LINK_OPS),
    "softplus' at the rate": label("wrong-argument", "eta rate", LINK_OPS),
    "the slope of the sigmoid for that of the softplus": label("wrong-local-rule", "eta rate", LINK_OPS),
    "one plus exp(eta), without the minus": label("sign wrong-local-rule wrong-argument", "eta rate", LINK_OPS),
    "forgot the derivative of the log": label("missing-local-derivative", "rate log_rate", "log"),
    "only the log's part of the likelihood": label("dropped-path missing-term", "rate nll", "subtract"),
    "the log's part with a plus": label("sign", "rate log_rate nll", "log multiply subtract"),
    "divided by exp(eta), the rate of a log link": label("wrong-argument wrong-operand", "rate log_rate", "log"),
    "skipped the samples without any count": label("dropped-path missing-term", COUNTS, COUNTS_OPS),
    "kept small rates away from zero before dividing": label("wrong-argument wrong-local-rule", "rate log_rate",
                                                             "log"),
    "averaged over the counts": label("scale", COUNTS, COUNTS_OPS),
    "the offset forgotten when eta was computed again": label("wrong-argument dropped-path wrong-operand missing-term",
                                                              "eta rate offset", f"{LINK_OPS} add"),
    "the offset outside the link, as an exposure": label("wrong-argument wrong-operand wrong-local-rule",
                                                         "rate log_rate eta offset", f"{LINK_OPS} add log"),
    "the gate of the swish held fixed": label("dropped-path treated-as-constant", GATE, GATE_OPS),
    "the gate's part overwrites the direct one": label("overwritten-accumulation dropped-path", "z1 h", "multiply"),
    "the gate's part without the sigmoid's derivative": label("missing-local-derivative", "s z1",
                                                              "divide add exp negative"),
    "multiplied z1 by the gate in place": label("stale-value wrong-operand", GATE, "multiply"),
    "ds from the output of the swish": label("wrong-operand", GATE, "multiply"),
    "b1 before the swish was undone": label("missing-local-derivative wrong-operand", "b1 z1 h", "add multiply"),
    "w2 from the pre-activations": label("wrong-operand", "w2 eta", "matmul"),
    "b2 the mean over the samples once more": label("scale missing-broadcast-reduction", "b2 eta", "add"),
    "the counts not made a column, so each rate meets each count": label(
        "missing-broadcast-reduction wrong-axis wrong-operand", f"{COUNTS} y", COUNTS_OPS),
    "one plus exp(-lam) for the link's slope": label("sign wrong-local-rule", "eta rate", LINK_OPS),
    "the link's slope on the count's part only": label("missing-local-derivative", "eta rate nll",
                                                       f"{LINK_OPS} subtract"),
    "the swish's slope without the gate in its second part": label(
        "missing-local-derivative wrong-operand wrong-local-rule", GATE, GATE_OPS),
    "the swish's slope with one minus the activation": label("wrong-argument wrong-operand wrong-local-rule", GATE,
                                                             GATE_OPS),
    "the slope of a ReLU instead of the swish's": label("wrong-local-rule", GATE, GATE_OPS),
    "the offset as a row, so it was added across": label(
        "missing-broadcast-reduction wrong-axis wrong-operand wrong-argument", f"{COUNTS} offset", f"{COUNTS_OPS} add"),
    "the count of the observation before": label("wrong-operand", "log_rate rate nll y", "multiply"),
    "the offset piles up from sample to sample": label("wrong-argument wrong-operand stale-value", "eta rate offset",
                                                       f"{LINK_OPS} add"),
    "the offset added to the derivative's exponent a second time": label("wrong-argument", "eta rate offset",
                                                                         LINK_OPS),
    "exp(eta) as the softplus' derivative": label("wrong-local-rule missing-local-derivative", "eta rate", LINK_OPS),
    "w2 with the gate of the unit before": label("wrong-operand", "w2 eta", "matmul"),
    "the last unit's gate for all units": label("wrong-argument wrong-operand", "s z1 h", "divide exp add multiply"),
    "the columns of W1 are set, not added to": label("overwritten-accumulation missing-broadcast-reduction", "W1 z1",
                                                     "matmul"),
    "the inner loop starts at the second unit": label("dropped-path", "h z1 eta w2 b1 W1", "matmul"),
    "b2 not divided by n at the end": label("scale", "b2 eta", "add"),
    "the log's half stopped at the rate": label("missing-local-derivative", "eta rate log_rate nll",
                                                f"{LINK_OPS} log"),
    "the mean on the second half only": label("scale", "rate nll loss", "subtract sum divide"),
    "the gate's half with a minus, as the exponent has one": label("sign", GATE, GATE_OPS),
    "the gate's half without the exponential's own derivative": label("wrong-local-rule missing-local-derivative",
                                                                      "s z1", "divide add exp negative"),
    "the gate's half fixed, and the rate missing under the count": label("two", f"{GATE} rate log_rate",
                                                                         f"{GATE_OPS} log"),
}

MODELS = {"mlp_relu_rows": MLP_RELU_ROWS, "softmax_net_columns": SOFTMAX_NET_COLUMNS,
          "ridge_two_outputs": RIDGE_TWO_OUTPUTS, "layer_norm_residual": LAYER_NORM_RESIDUAL,
          "batch_norm_sigmoid": BATCH_NORM_SIGMOID, "poisson_two_layers": POISSON_TWO_LAYERS}
LABELS = {(model, slip): answer for model, answers in MODELS.items() for slip, answer in answers.items()}
