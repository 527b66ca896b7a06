"""What a fair and strict reader accepts as the explanation of each slip: fully connected nets, regressions, layer norm.

`kinds` start with the most exact one. A comment behind "two" names the kinds of its two mistakes.
"""

from tests.battery.slips import Label

LABELS = {
    ("mlp_rows", "lost the minus sign of the cross entropy"): Label(
        kinds=("sign",),
        places=("da3", "a3", "dz3", "z3", "losses", "loss", "log", "negative")),
    ("mlp_rows", "forgot that d log(1 - a3) has an inner minus, so the second term has the wrong sign"): Label(
        kinds=("sign",),
        places=("da3", "a3", "dz3", "z3", "losses", "log", "subtract")),
    ("mlp_rows", "never divided by the batch size"): Label(
        kinds=("scale",),
        places=("da3", "a3", "dz3", "z3", "losses", "loss", "mean")),
    ("mlp_rows", "forgot the sigmoid's derivative at the output"): Label(
        kinds=("missing-local-derivative",),
        places=("dz3", "z3", "a3", "sigmoid")),
    ("mlp_rows", "sent dz2 back through W2 transposed"): Label(
        kinds=("missing-transpose",),
        places=("da1", "a1", "z2", "matmul", "linear", "transpose")),
    ("mlp_rows", "used the first layer's derivative at the second layer"): Label(
        kinds=("wrong-argument", "wrong-operand"),
        places=("dz2", "z2", "a2", "sigmoid")),
    ("mlp_rows", "W2's gradient with the layer's own output instead of its input"): Label(
        kinds=("wrong-operand",),
        places=("dW2", "W2", "z2", "matmul", "linear")),
    ("mlp_rows", "W2's gradient transposed"): Label(
        kinds=("transposed-result",),
        places=("dW2", "W2", "z2", "matmul", "linear", "transpose")),
    ("mlp_rows", "took a gradient step on W2 before going further back through it"): Label(
        kinds=("stale-value",),
        places=("da1", "a1", "W2", "z2", "matmul", "linear")),
    ("mlp_rows", "copied the line of b2 for b1 and left dz2 in it"): Label(
        kinds=("wrong-operand",),
        places=("db1", "b1", "z1", "add", "sum", "linear")),
    ("mlp_rows", "squared-error habit: multiplied by sigmoid' at the output although it cancels"): Label(
        kinds=("double-derivative", "wrong-local-rule"),
        places=("delta3", "dz3", "z3", "a3", "sigmoid")),
    ("mlp_rows", "gave sigmoid_prime the activations instead of the pre-activations"): Label(
        kinds=("wrong-argument",),
        places=("delta2", "dz2", "z2", "a2", "delta1", "dz1", "z1", "a1", "sigmoid")),
    ("mlp_rows", "summed the biases' gradients over the batch, only the weights' are means"): Label(
        kinds=("scale",),
        places=("db1", "b1", "db2", "b2", "db3", "b3", "sum", "mean", "add")),
    ("mlp_rows", "averaged already at the output and again in every gradient"): Label(
        kinds=("scale",),
        places=("delta3", "dz3", "z3", "a3", "losses", "loss", "mean")),
    ("mlp_rows", "averaged b1's gradient over the units, not over the samples"): Label(
        kinds=("wrong-axis",),
        places=("db1", "b1", "z1", "mean", "sum", "add")),
    ("mlp_rows", "W1's gradient overwritten by each sample instead of added up"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("gW1", "dW1", "W1", "z1", "matmul", "linear")),
    ("mlp_rows", "swapped the two factors of the outer product at W2"): Label(
        kinds=("transposed-result",),
        places=("gW2", "dW2", "W2", "z2", "matmul", "linear", "transpose")),
    ("mlp_rows", "left out (1 - h1) in the derivative of the first layer"): Label(
        kinds=("wrong-local-rule",),
        places=("back1", "dz1", "z1", "a1", "sigmoid")),
    ("mlp_rows", "added the output error to b2 instead of the hidden one"): Label(
        kinds=("wrong-operand",),
        places=("gb2", "db2", "b2", "z2", "add", "sum", "linear")),
    # sigmoid' of the layer above: twice at the output, never at layer 1
    ("mlp_rows", "took the derivative with the activations above in the loop over layers"): Label(
        kinds=("wrong-argument", "missing-local-derivative", "double-derivative"),
        places=("delta", "dz3", "z3", "a3", "dz2", "z2", "a2", "dz1", "z1", "a1", "sigmoid")),
    # sign; missing-local-derivative
    ("mlp_rows", "target minus prediction, and no hidden derivative"): Label(
        kinds=("two",),
        places=("delta", "dz3", "z3", "a3", "losses", "loss", "dz2", "z2", "a2", "dz1", "z1", "a1", "sigmoid")),

    ("mlp_columns", "kept the 2 of the square although the half cancels it"): Label(
        kinds=("scale",),
        places=("grad_y", "y", "e", "per_sample", "L", "power", "multiply")),
    ("mlp_columns", "divided by all the elements, as in a mean over outputs as well"): Label(
        kinds=("scale",),
        places=("grad_y", "y", "e", "per_sample", "L", "mean", "sum")),
    ("mlp_columns", "a tanh' at the linear output layer too"): Label(
        kinds=("wrong-local-rule", "double-derivative"),
        places=("grad_y", "y", "e", "subtract")),
    ("mlp_columns", "forgot the square in tanh' at layer 1"): Label(
        kinds=("wrong-local-rule",),
        places=("grad_s1", "s1", "h1", "tanh")),
    ("mlp_columns", "sigmoid's derivative for tanh in both hidden layers"): Label(
        kinds=("wrong-local-rule",),
        places=("grad_s2", "s2", "h2", "grad_s1", "s1", "h1", "tanh")),
    ("mlp_columns", "pre-activation s1 instead of h1 in the gradient of W2"): Label(
        kinds=("wrong-operand",),
        places=("grad_W2", "dW2", "W2", "matmul", "linear")),
    ("mlp_columns", "went back through W2 from h2, skipping the second tanh"): Label(
        kinds=("missing-local-derivative", "wrong-operand"),
        places=("grad_h1", "h1", "h2", "tanh", "matmul", "linear")),
    ("mlp_columns", "b2's gradient from before the tanh of layer 2"): Label(
        kinds=("missing-local-derivative", "wrong-operand"),
        places=("grad_b2", "db2", "b2", "h2", "tanh", "sum", "add")),
    ("mlp_columns", "bias gradients along the wrong axis, because samples used to be rows"): Label(
        kinds=("wrong-axis",),
        places=("grad_b1", "db1", "b1", "grad_b2", "db2", "b2", "grad_b3", "db3", "b3", "sum", "add")),
    ("mlp_columns", "averaged b1's gradient instead of summing it"): Label(
        kinds=("scale",),
        places=("grad_b1", "db1", "b1", "sum", "mean", "add")),
    ("mlp_columns", "one over cosh without the square at layer 2"): Label(
        kinds=("wrong-local-rule",),
        places=("delta", "z2", "h2", "tanh")),
    ("mlp_columns", "multiplied by cosh squared instead of dividing, at layer 1"): Label(
        kinds=("wrong-local-rule",),
        places=("delta", "z1", "h1", "tanh")),
    ("mlp_columns", "target minus output"): Label(
        kinds=("sign",),
        places=("delta", "y", "e", "per_sample", "L", "subtract")),
    ("mlp_columns", "took the weights' mean over the samples but not the biases'"): Label(
        kinds=("scale",),
        places=("nabla_b", "b1", "b2", "b3", "db1", "db2", "db3", "mean", "sum", "add")),
    ("mlp_columns", "the last sample's W3 gradient only, assigned instead of added"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("nabla_w", "W3", "dW3", "y", "matmul", "linear")),
    ("mlp_columns", "left out the last sample of the loop"): Label(
        kinds=("dropped-path", "missing-term"),
        places=("delta", "y", "e", "per_sample", "L", "mean", "sum", "index")),
    ("mlp_columns", "tanh of the tanh in the derivative of layer 2"): Label(
        kinds=("wrong-argument",),
        places=("D2", "h2", "tanh")),
    # between the output layer and layer 2
    ("mlp_columns", "divided only the last layer by m"): Label(
        kinds=("scale",),
        places=("G1", "W1", "b1", "G2", "W2", "b2", "D2", "h2", "mean")),
    # the arrays cannot tell the sign of layer 1 from one lost at h1
    ("mlp_columns", "returned minus the gradients of layer 1, like the update"): Label(
        kinds=("sign",),
        places=("G1", "W1", "b1", "h1")),
    ("mlp_columns", "split 1 - h1**2 into (1 - h1) twice"): Label(
        kinds=("wrong-local-rule",),
        places=("g1", "h1", "tanh")),
    # dropped-path; scale
    ("mlp_columns", "forgot the target, and divided the weights of layer 1 by the batch once more"): Label(
        kinds=("two",),
        places=("g3", "y", "e", "t", "subtract", "dW1", "W1", "mean", "matmul", "linear")),

    # every class occurs, so ones are subtracted everywhere
    ("softmax_classifier", "subtracted 1 in whole columns instead of at each sample's class"): Label(
        kinds=("scatter", "wrong-operand"),
        places=("dscores", "scores", "probs", "Y", "index", "softmax", "log", "data_loss")),
    ("softmax_classifier", "never subtracted the one-hot labels"): Label(
        kinds=("dropped-path", "missing-term"),
        places=("dscores", "scores", "probs", "Y", "index", "softmax", "log", "data_loss")),
    ("softmax_classifier", "forgot the mean over the batch in the scores' gradient"): Label(
        kinds=("scale",),
        places=("dscores", "scores", "probs", "data_loss", "divide", "mean")),
    ("softmax_classifier", "masked the hidden gradient by its own sign instead of the relu's"): Label(
        kinds=("wrong-argument", "wrong-local-rule"),
        places=("dhidden", "hidden", "relu", "maximum")),
    ("softmax_classifier", "relu mask the wrong way round"): Label(
        kinds=("wrong-local-rule",),
        places=("dhidden", "hidden", "relu", "maximum")),
    ("softmax_classifier", "overwrote W2's gradient by the weight decay"): Label(
        kinds=("overwritten-accumulation", "dropped-path", "missing-term"),
        places=("dW2", "W2", "scores", "data_loss", "reg_loss", "matmul", "linear", "add")),
    ("softmax_classifier", "weight decay left out at W1"): Label(
        kinds=("missing-term", "dropped-path"),
        places=("dW1", "W1", "reg_loss", "multiply", "sum", "add")),
    ("softmax_classifier", "b1's gradient before the relu mask"): Label(
        kinds=("missing-local-derivative", "wrong-operand"),
        places=("db1", "b1", "hidden", "relu", "maximum", "sum", "add")),
    ("softmax_classifier", "weight decay without the half: 2 lam W"): Label(
        kinds=("scale",),
        places=("dW1", "W1", "dW2", "W2", "reg_loss", "multiply", "lam")),
    ("softmax_classifier", "weight decay subtracted from W2's gradient"): Label(
        kinds=("sign",),
        places=("dW2", "W2", "reg_loss", "multiply", "add", "lam")),
    ("softmax_classifier", "biases decayed as well"): Label(
        kinds=("extra-term",),
        places=("db1", "b1", "db2", "b2", "reg_loss", "lam")),
    ("softmax_classifier", "multiplied by the activation instead of the relu's mask"): Label(
        kinds=("wrong-local-rule",),
        places=("d1", "hidden", "relu", "maximum")),
    ("softmax_classifier", "z instead of relu(z) in W2's gradient"): Label(
        kinds=("wrong-operand",),
        places=("dW2", "W2", "scores", "matmul", "linear")),
    ("softmax_classifier", "labels minus probabilities"): Label(
        kinds=("sign",),
        places=("d2", "scores", "probs", "data_loss", "softmax", "log", "subtract", "negative")),
    ("softmax_classifier", "only the diagonal of the softmax Jacobian"): Label(
        kinds=("softmax-diagonal",),
        places=("J", "ds", "scores", "probs", "softmax")),
    ("softmax_classifier", "plus instead of minus between diag(p) and p p^T"): Label(
        kinds=("softmax-diagonal", "sign"),
        places=("J", "ds", "scores", "probs", "softmax")),
    ("softmax_classifier", "binary cross entropy's derivative for the class probabilities"): Label(
        kinds=("wrong-local-rule", "extra-term"),
        places=("dp", "probs", "scores", "data_loss", "log")),
    ("softmax_classifier", "added the weight decay of W1 once more for every sample"): Label(
        kinds=("scale",),
        places=("dW1", "W1", "reg_loss", "multiply", "lam")),
    ("softmax_classifier", "forgot the relu on the way back"): Label(
        kinds=("missing-local-derivative",),
        places=("dz1", "hidden", "relu", "maximum")),
    ("softmax_classifier", "normalized the exponentials over the batch instead of the classes"): Label(
        kinds=("wrong-axis",),
        places=("total", "grad_lse", "grad_z2", "scores", "probs", "softmax", "sum")),
    ("softmax_classifier", "divided by the number of classes instead of samples"): Label(
        kinds=("scale",),
        places=("grad_z2", "scores", "probs", "data_loss", "divide", "mean")),
    ("softmax_classifier", "L1's sign instead of the weight in W1's decay"): Label(
        kinds=("wrong-local-rule",),
        places=("decay_W1", "dW1", "W1", "reg_loss", "multiply")),
    ("softmax_classifier", "averaged the weight decay over the samples too"): Label(
        kinds=("scale",),
        places=("decay_W1", "dW1", "W1", "decay_W2", "dW2", "W2", "reg_loss", "multiply", "lam")),
    # missing-local-derivative; missing-term
    ("softmax_classifier", "no relu mask and no weight decay of W2"): Label(
        kinds=("two",),
        places=("grad_z1", "hidden", "relu", "maximum", "decay_W2", "dW2", "W2", "reg_loss", "multiply", "sum")),

    ("logistic_regression", "forgot the class weights in the residual"): Label(
        kinds=("missing-local-derivative",),
        places=("residual", "logits", "nll", "sw", "class_weight", "data_term", "multiply")),
    ("logistic_regression", "averaged over the number of samples instead of the sum of the weights"): Label(
        kinds=("scale",),
        places=("residual", "logits", "nll", "sw", "data_term", "divide", "mean", "sum")),
    ("logistic_regression", "weighted only the probability, a bracket is missing"): Label(
        kinds=("wrong-local-rule", "missing-local-derivative"),
        places=("residual", "logits", "nll", "sw", "data_term", "multiply", "subtract")),
    ("logistic_regression", "an extra p (1 - p) as in least squares on the probabilities"): Label(
        kinds=("double-derivative", "wrong-local-rule"),
        places=("residual", "logits", "nll", "sigmoid", "logaddexp")),
    ("logistic_regression", "penalty's two left in: 2 C theta"): Label(
        kinds=("scale",),
        places=("grad_theta", "dtheta", "theta", "penalty", "multiply", "divide", "dot", "C")),
    ("logistic_regression", "labels minus probabilities, for gradient ascent on the likelihood"): Label(
        kinds=("sign",),
        places=("residual", "logits", "nll", "data_term", "subtract", "logaddexp")),
    ("logistic_regression", "probabilities computed without the intercept"): Label(
        kinds=("wrong-argument", "dropped-path"),
        places=("logits", "p", "residual", "bias", "nll", "sigmoid", "logaddexp", "add", "linear")),
    ("logistic_regression", "averaged the residuals once more in the intercept"): Label(
        kinds=("scale",),
        places=("grad_bias", "dbias", "bias", "sum", "mean", "add")),
    ("logistic_regression", "sigmoid of plus the margin instead of minus"): Label(
        kinds=("wrong-local-rule", "wrong-argument", "sign"),
        places=("pull", "coef", "margin", "logits", "nll", "sigmoid", "logaddexp", "exp")),
    ("logistic_regression", "dropped the label's sign in the chain rule of the margin"): Label(
        kinds=("missing-local-derivative", "sign"),
        places=("coef", "margin", "logits", "nll", "multiply")),
    ("logistic_regression", "weights of the two classes exchanged"): Label(
        kinds=("swapped", "wrong-operand"),
        places=("w", "coef", "sw", "class_weight", "logits", "nll", "data_term", "multiply", "index")),
    # n penalties over the sum of the weights: 10/11.1 of it in all
    ("logistic_regression", "penalty put on inside the loop over the samples"): Label(
        kinds=("scale",),
        places=("g", "dtheta", "theta", "penalty", "multiply", "C")),
    ("logistic_regression", "intercept's gradient assigned instead of added up"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("g0", "dbias", "bias", "logits", "sum", "add")),
    ("logistic_regression", "divided the penalty by the total weight as well"): Label(
        kinds=("scale",),
        places=("g", "dtheta", "theta", "penalty", "multiply", "divide", "C")),
    ("logistic_regression", "forgot to divide the intercept's gradient by the total weight"): Label(
        kinds=("scale",),
        places=("g0", "dbias", "bias", "data_term", "divide", "mean", "sum", "add")),
    ("logistic_regression", "penalized the intercept as well"): Label(
        kinds=("extra-term",),
        places=("dbeta", "dbias", "bias", "penalty", "keep", "multiply", "dot")),
    # missing-term at theta[0], extra-term at the bias, by one wrong index
    ("logistic_regression", "excluded the first weight instead of the intercept from the penalty"): Label(
        kinds=("swapped", "scatter", "two"),
        places=("dbeta", "dtheta", "theta", "dbias", "bias", "penalty", "keep", "index", "multiply", "dot")),
    ("logistic_regression", "labels of minus one and one in p - y"): Label(
        kinds=("wrong-operand", "wrong-local-rule"),
        places=("dbeta", "logits", "nll", "y", "data_term", "subtract", "multiply")),
    ("logistic_regression", "p instead of 1 - p at the positives"): Label(
        kinds=("wrong-local-rule", "wrong-argument"),
        places=("dz_pos", "p_pos", "logits", "nll", "sigmoid", "logaddexp")),
    ("logistic_regression", "negatives overwrite the positives in theta's gradient"): Label(
        kinds=("overwritten-accumulation", "dropped-path"),
        places=("dtheta", "theta", "logits", "matmul", "linear", "add")),
    # sign; missing-term
    ("logistic_regression", "wrong sign of the negatives, and no penalty"): Label(
        kinds=("two",),
        places=("dz_neg", "logits", "nll", "sigmoid", "logaddexp", "dtheta", "theta", "penalty", "multiply", "dot")),

    ("linear_regression", "forgot the two of the square in the residuals"): Label(
        kinds=("scale",),
        places=("dpred", "pred", "resid", "mse", "power", "mean")),
    ("linear_regression", "divided by the samples only although the mean is over the outputs too"): Label(
        kinds=("scale",),
        places=("dpred", "pred", "resid", "mse", "power", "mean")),
    ("linear_regression", "ridge term without its two"): Label(
        kinds=("scale",),
        places=("dcoef", "coef", "ridge", "power", "multiply", "alpha")),
    # alpha / 2 |coef| of the right term: the arrays show a factor
    ("linear_regression", "ridge differentiated like a norm, not its square"): Label(
        kinds=("wrong-local-rule", "scale"),
        places=("dcoef", "coef", "ridge", "power", "sum")),
    ("linear_regression", "no ridge in the gradient"): Label(
        kinds=("missing-term", "dropped-path"),
        places=("dcoef", "coef", "ridge", "power", "sum", "multiply", "add")),
    ("linear_regression", "summed the intercept's gradient over everything"): Label(
        kinds=("wrong-axis",),
        places=("dintercept", "intercept", "pred", "sum", "add")),
    ("linear_regression", "intercept's gradient not summed over the samples"): Label(
        kinds=("missing-broadcast-reduction",),
        places=("dintercept", "intercept", "pred", "sum", "add")),
    ("linear_regression", "predicted without the intercept, gone from the residual"): Label(
        kinds=("dropped-path", "wrong-argument"),
        places=("dpred", "pred", "resid", "intercept", "add", "linear")),
    ("linear_regression", "cubic feature written as a square again"): Label(
        kinds=("wrong-operand",),
        places=("P", "Phi", "dcoef", "coef", "pred", "resid", "power", "stack", "matmul", "linear")),
    ("linear_regression", "forgot the intercept when multiplying out the weights' gradient"): Label(
        kinds=("dropped-path", "wrong-operand"),
        places=("g_w", "dcoef", "coef", "intercept", "pred", "resid", "add", "matmul", "linear")),
    ("linear_regression", "intercept added once instead of n times"): Label(
        kinds=("scale", "missing-broadcast-reduction"),
        places=("g_c", "dintercept", "intercept", "pred", "resid", "add", "sum")),
    ("linear_regression", "cross term with Y has the wrong sign"): Label(
        kinds=("sign",),
        places=("g_w", "cross", "dcoef", "coef", "Y", "resid", "pred", "subtract", "matmul", "linear")),
    ("linear_regression", "powers start at zero in the gradient"): Label(
        kinds=("wrong-operand", "scatter"),
        places=("d_coef", "dcoef", "coef", "Phi", "pred", "power", "matmul", "linear")),
    ("linear_regression", "differentiated the feature: (d + 1) x**d"): Label(
        kinds=("wrong-operand", "wrong-local-rule"),
        places=("d_coef", "dcoef", "coef", "Phi", "pred", "power", "matmul", "linear")),
    ("linear_regression", "ridge overwrites the weights' gradient"): Label(
        kinds=("overwritten-accumulation", "dropped-path", "missing-term"),
        places=("d_coef", "dcoef", "coef", "ridge", "mse", "pred", "matmul", "linear", "add")),
    ("linear_regression", "intercept keeps the last sample's gradient only"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("d_int", "dintercept", "intercept", "pred", "sum", "add")),
    ("linear_regression", "dropped the minus in front although the residual is target minus prediction"): Label(
        kinds=("sign",),
        places=("col", "r", "dpred", "pred", "resid", "mse", "power", "subtract")),
    ("linear_regression", "ridge on the intercept as well"): Label(
        kinds=("extra-term",),
        places=("lam", "col", "dintercept", "intercept", "ridge")),
    ("linear_regression", "the first output's weights used for every output"): Label(
        kinds=("wrong-operand",),
        places=("w", "r", "col", "pred", "resid", "coef", "intercept", "ridge", "index", "matmul", "linear")),
    ("linear_regression", "took the highest power first, as np.vander does by itself"): Label(
        kinds=("wrong-operand", "scatter", "swapped"),
        places=("powers", "Phi", "r", "col", "pred", "resid", "coef", "intercept", "power", "stack", "matmul",
                "linear")),
    # scale; sign
    ("linear_regression", "no mean at all, and the ridge subtracted"): Label(
        kinds=("two",),
        places=("col", "r", "pred", "resid", "mse", "mean", "dcoef", "coef", "ridge", "multiply", "add")),

    ("layer_norm", "gain forgotten on the way back to u_hat"): Label(
        kinds=("missing-local-derivative",),
        places=("du_hat", "u_hat", "n", "multiply")),
    ("layer_norm", "sign lost in the derivative of one over std"): Label(
        kinds=("sign", "wrong-local-rule"),
        places=("dstd", "std", "distd", "istd", "dvar", "var", "u_hat", "divide")),
    ("layer_norm", "derivative of the square root without its half"): Label(
        kinds=("scale", "wrong-local-rule"),
        places=("dvar", "var", "dstd", "std", "sqrt")),
    ("layer_norm", "overwrote dcentered by the way through the variance"): Label(
        kinds=("overwritten-accumulation", "dropped-path"),
        places=("dcentered", "centered", "u_hat", "var", "du", "u", "divide", "power")),
    ("layer_norm", "the variance's mean divided by the batch size, not by the features"): Label(
        kinds=("scale",),
        places=("dcentered", "centered", "var", "du", "u", "mean", "power")),
    ("layer_norm", "forgot that the mean depends on u"): Label(
        kinds=("treated-as-constant", "dropped-path"),
        places=("dmu", "mu", "du", "u", "centered", "mean", "subtract")),
    ("layer_norm", "mean's way back without dividing by the number of features"): Label(
        kinds=("scale",),
        places=("dmu", "mu", "du", "u", "mean")),
    ("layer_norm", "gamma's gradient with the raw u instead of the normalized one"): Label(
        kinds=("wrong-operand",),
        places=("dgamma", "gamma", "n", "multiply", "sum")),
    ("layer_norm", "b's gradient taken at the normalized output, as beta's"): Label(
        kinds=("wrong-operand",),
        places=("db", "b", "u", "sum", "add", "linear")),
    ("layer_norm", "mean and standard deviation treated as constants"): Label(
        kinds=("treated-as-constant", "dropped-path"),
        places=("g_u", "du", "u", "mu", "centered", "var", "std", "u_hat", "mean")),
    ("layer_norm", "means over the batch as in batch norm"): Label(
        kinds=("wrong-axis",),
        places=("m1", "m2", "g_u", "du", "u", "mu", "centered", "var", "std", "u_hat", "mean")),
    ("layer_norm", "left out xhat in front of the second mean"): Label(
        kinds=("wrong-local-rule", "missing-local-derivative"),
        places=("g_u", "m2", "du", "u", "centered", "var", "std", "u_hat", "power")),
    ("layer_norm", "divided by the variance instead of the standard deviation"): Label(
        kinds=("wrong-local-rule", "double-derivative", "wrong-operand"),
        places=("g_u", "du", "u", "centered", "std", "sigma", "u_hat", "divide", "sqrt")),
    ("layer_norm", "sums instead of means in the compact formula"): Label(
        kinds=("scale",),
        places=("m1", "m2", "g_u", "du", "u", "mu", "centered", "var", "std", "mean", "sum")),
    ("layer_norm", "V's gradient with xhat, before gain and bias"): Label(
        kinds=("wrong-operand",),
        places=("dV", "V", "out", "matmul", "linear")),
    ("layer_norm", "gamma's gradient with g that already holds the gain"): Label(
        kinds=("wrong-operand", "wrong-local-rule"),
        places=("dgamma", "gamma", "n", "multiply", "sum")),
    ("layer_norm", "unbiased variance, divided by D - 1, in the backward's forward"): Label(
        kinds=("scale",),
        places=("sigma", "var", "std", "centered", "u_hat", "mean", "sqrt")),
    ("layer_norm", "plus sign in front of h h^T in the Jacobian"): Label(
        kinds=("sign", "wrong-local-rule"),
        places=("J", "g_u", "du", "u", "centered", "var", "std", "u_hat", "divide")),
    ("layer_norm", "gamma's gradient assigned, not accumulated over the rows"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("dgamma", "gamma", "n", "multiply", "sum")),
    ("layer_norm", "variance to the power -1/2 instead of -3/2"): Label(
        kinds=("wrong-local-rule",),
        places=("grad_variance", "dvar", "var", "std", "u_hat", "sqrt", "power", "divide")),
    ("layer_norm", "grad_mean added without the minus"): Label(
        kinds=("sign",),
        places=("grad_mean", "dmu", "mu", "centered", "grad_u", "du", "u", "mean", "subtract")),
    # scale; dropped-path
    ("layer_norm", "forgot the two of the squared error and the way through the variance"): Label(
        kinds=("two",),
        places=("grad_out", "dout", "out", "L", "power", "grad_u", "du", "u", "centered", "var", "std", "mean")),

    ("poisson_regression", "left the exposure out of the mean"): Label(
        kinds=("wrong-argument", "dropped-path", "wrong-operand"),
        places=("mu", "score", "eta", "log_mu", "exposure", "nll", "exp", "log", "add")),
    ("poisson_regression", "added the exposure to the predictor without its log"): Label(
        kinds=("wrong-argument", "wrong-operand"),
        places=("mu", "score", "eta", "log_mu", "exposure", "nll", "exp", "log", "add")),
    ("poisson_regression", "forgot the exponential: linear predictor minus counts"): Label(
        kinds=("wrong-operand", "wrong-local-rule"),
        places=("score", "mu", "eta", "log_mu", "nll", "exp")),
    ("poisson_regression", "counts minus mean"): Label(
        kinds=("sign",),
        places=("score", "eta", "log_mu", "mu", "nll", "cost", "subtract")),
    ("poisson_regression", "divided by the total exposure instead of the number of rows"): Label(
        kinds=("scale",),
        places=("score", "eta", "log_mu", "nll", "cost", "mean")),
    ("poisson_regression", "softplus' own value in place of its derivative"): Label(
        kinds=("wrong-local-rule",),
        places=("dpre", "pre", "h", "softplus")),
    ("poisson_regression", "sigmoid with the wrong sign in the exponent in softplus'"): Label(
        kinds=("wrong-local-rule", "wrong-argument", "sign"),
        places=("dpre", "pre", "h", "softplus", "sigmoid")),
    ("poisson_regression", "v's gradient with the pre-activations instead of the hidden values"): Label(
        kinds=("wrong-operand",),
        places=("dv", "v", "eta", "matmul", "linear")),
    ("poisson_regression", "intercept's score averaged again"): Label(
        kinds=("scale",),
        places=("dv0", "v0", "eta", "sum", "mean", "add")),
    ("poisson_regression", "exponential link not differentiated"): Label(
        kinds=("missing-local-derivative", "wrong-local-rule"),
        places=("d_linear", "linear", "eta", "log_mu", "mu", "rate", "exp")),
    ("poisson_regression", "exposure missing in the chain from mu to the rate"): Label(
        kinds=("missing-local-derivative", "wrong-argument"),
        places=("d_rate", "rate", "mu", "log_mu", "eta", "exposure", "exp", "multiply")),
    ("poisson_regression", "derivative of the log left out: 1 - counts"): Label(
        kinds=("missing-local-derivative", "wrong-local-rule"),
        places=("d_mu", "mu", "log_mu", "eta", "nll", "log")),
    ("poisson_regression", "counts over the rate per unit of exposure"): Label(
        kinds=("wrong-argument", "wrong-operand"),
        places=("d_mu", "mu", "log_mu", "eta", "nll", "rate", "log", "divide")),
    ("poisson_regression", "tanh' where softplus' belongs"): Label(
        kinds=("wrong-local-rule",),
        places=("expit", "d_pre", "dpre", "pre", "h", "softplus")),
    ("poisson_regression", "sigmoid's derivative instead of the sigmoid for the softplus"): Label(
        kinds=("wrong-local-rule", "double-derivative"),
        places=("d_pre", "dpre", "pre", "h", "softplus", "sigmoid")),
    ("poisson_regression", "multiplied the residual by the mean, as for squared error"): Label(
        kinds=("double-derivative", "wrong-local-rule"),
        places=("diff", "eta", "log_mu", "mu", "nll", "exp")),
    ("poisson_regression", "forgot v between the residual and the hidden layer"): Label(
        kinds=("missing-local-derivative",),
        places=("back", "dpre", "pre", "dh", "h", "eta", "matmul", "linear", "multiply")),
    ("poisson_regression", "kept only the last row's gradient of A"): Label(
        kinds=("overwritten-accumulation", "missing-broadcast-reduction"),
        places=("acc_A", "dA", "A", "pre", "einsum", "matmul", "linear")),
    ("poisson_regression", "weighted v0's residuals by the exposure once more"): Label(
        kinds=("double-derivative", "wrong-operand", "wrong-local-rule"),
        places=("acc_v0", "dv0", "v0", "eta", "sum", "add")),
    ("poisson_regression", "forgot the observed part of a0's gradient"): Label(
        kinds=("dropped-path", "missing-term"),
        places=("g_a0", "da0", "a0", "pre", "nll", "counts", "subtract", "add", "sum")),
    ("poisson_regression", "observed part of A added instead of subtracted"): Label(
        kinds=("sign",),
        places=("g_A", "dA", "A", "pre", "nll", "counts", "subtract", "einsum", "matmul", "linear")),
    # dropped-path; missing-local-derivative
    ("poisson_regression", "no intercept in the rate, and v not in softplus' chain"): Label(
        kinds=("two",),
        places=("lam", "mu", "log_mu", "eta", "v0", "add", "exp", "D", "dpre", "pre", "dh", "h", "matmul", "linear")),
}
