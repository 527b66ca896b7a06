"""What a fair and strict reader accepts as the explanation of each slip of seven models of `blind`.

They are attention, rnn, embedding, conv1d, gru, vae and batch_norm; the others stand in `labels_blind_a`.
`kinds` start with the most exact one. A comment behind "two" names the kinds of its two mistakes.
Of a slip that no kind describes, `kinds` is empty: it is right to say only that the gradients are wrong there.
"""

from tests.battery.slips import Label

LABELS = {
    ("attention", "forgot the 1/sqrt(d) on the way back, at Q and K"): Label(
        kinds=("scale", "missing-local-derivative"),
        places=("dS", "S", "dQ", "Q", "dK", "K", "divide")),
    ("attention", "scaled Q's gradient but forgot the scale at K's"): Label(
        kinds=("scale", "missing-local-derivative"),
        places=("dK", "K", "S", "divide")),
    ("attention", "softmax treated as a sigmoid: A (1 - A) elementwise"): Label(
        kinds=("softmax-diagonal", "wrong-local-rule"),
        places=("dS", "S", "A", "softmax")),
    ("attention", "subtracted the sum over the wrong axis in the softmax gradient"): Label(
        kinds=("wrong-axis", "softmax-diagonal"),
        places=("dS", "S", "A", "softmax", "sum")),
    ("attention", "summed dA without weighting by A in the softmax gradient"): Label(
        kinds=("softmax-diagonal", "wrong-local-rule"),
        places=("dS", "S", "A", "softmax", "sum")),
    ("attention", "multiplied by A instead of A transposed at V"): Label(
        kinds=("missing-transpose",),
        places=("dV", "V", "A", "H", "matmul")),
    ("attention", "swapped the roles of Q and K"): Label(
        kinds=("wrong-operand", "swapped"),
        places=("dQ", "Q", "dK", "K", "S", "matmul")),
    ("attention", "copied the line of Wq for Wk and left dQ in it"): Label(
        kinds=("wrong-operand", "swapped"),
        places=("dWk", "Wk", "K", "matmul")),
    ("attention", "divided by the number of rows only, the mean is over all entries"): Label(
        kinds=("scale",),
        places=("dO", "O", "L", "mean")),
    ("attention", "forgot the transpose of Wo at H"): Label(
        kinds=("missing-transpose",),
        places=("dH", "H", "Wo", "O", "matmul")),
    ("attention", "softmax over the columns in the forward pass"): Label(
        kinds=("wrong-axis",),
        places=("A", "S", "dS", "softmax")),
    ("attention", "weight decay added to Wo that the loss does not have"): Label(
        kinds=("extra-term",),
        places=("dWo", "Wo")),
    ("attention", "assigned instead of accumulated at k"): Label(
        kinds=("overwritten-accumulation",),
        places=("g_k", "dK", "K", "dWk", "Wk", "S", "matmul")),
    ("attention", "only the diagonal of the softmax Jacobian"): Label(
        kinds=("softmax-diagonal", "treated-as-constant"),
        places=("g_score", "dS", "S", "A", "softmax")),
    ("attention", "plus instead of minus in the softmax Jacobian"): Label(
        kinds=("softmax-diagonal", "sign"),
        places=("g_score", "dS", "S", "A", "softmax")),
    ("attention", "divided by d instead of its root in the backward pass"): Label(
        kinds=("scale",),
        places=("g_score", "dS", "S", "divide", "sqrt")),
    ("attention", "only the token's own row of v got a gradient"): Label(
        kinds=("dropped-path", "wrong-local-rule"),
        places=("g_v", "dV", "V", "dWv", "Wv", "A", "H", "matmul")),
    ("attention", "einsum indices of the attention mixed up at k"): Label(
        kinds=("missing-transpose",),
        places=("gk", "dK", "K", "dWk", "Wk", "S", "matmul", "transpose")),
    ("attention", "broadcast the dot products along the rows"): Label(
        kinds=("wrong-axis", "softmax-diagonal"),
        places=("gs", "dS", "S", "A", "softmax", "sum")),
    ("attention", "forgot the two of the square, and forgot to multiply by the attention at v"): Label(
        kinds=("two",),   # scale, missing-local-derivative
        places=("gr", "dO", "O", "L", "power", "square", "mean", "gv", "dV", "V", "dWv", "Wv", "A", "H", "matmul")),
    ("attention", "D from the product with V instead of with H"): Label(
        kinds=("wrong-operand", "softmax-diagonal"),
        places=("D", "dS", "S", "A", "softmax", "sum")),
    ("attention", "scaled K's gradient again although Q is already scaled"): Label(
        kinds=("scale",),
        places=("Wk_grad", "dWk", "Wk", "dK", "K", "S", "divide")),
    ("attention", "dS computed in place in P, which V's gradient still needed"): Label(
        kinds=("stale-value", "wrong-operand"),
        places=("dS", "P", "A", "dV", "V", "Wv_grad", "dWv", "Wv", "H", "matmul")),
    ("attention", "forgot Wo between the error and H in the gradient of Wv"): Label(
        kinds=("missing-local-derivative", "wrong-operand"),
        places=("Wv_grad", "dWv", "Wv", "dV", "V", "dH", "H", "Wo", "O", "matmul")),
    ("rnn", "forgot to add the gradient that comes from the next step to dh"): Label(
        kinds=("dropped-path", "treated-as-constant"),
        places=("dh", "h", "dhnext", "Whh", "matmul", "add")),
    ("rnn", "forgot the transpose of Whh when going back in time"): Label(
        kinds=("missing-transpose",),
        places=("dhnext", "dh", "h", "Whh", "matmul")),
    ("rnn", "the gradient of the next step does not pass through tanh"): Label(
        kinds=("missing-local-derivative", "wrong-operand"),
        places=("dhnext", "dh", "h", "dhraw", "tanh")),
    ("rnn", "current hidden state instead of the previous one in Whh's gradient"): Label(
        kinds=("wrong-operand",),
        places=("dWhh", "Whh", "h", "matmul")),
    ("rnn", "Whh's gradient overwritten at every step"): Label(
        kinds=("overwritten-accumulation",),
        places=("dWhh", "Whh", "matmul")),
    ("rnn", "derivative of the sigmoid for the tanh"): Label(
        kinds=("wrong-local-rule",),
        places=("dhraw", "h", "tanh")),
    ("rnn", "forgot to subtract the one hot target at the logits"): Label(
        kinds=("dropped-path", "wrong-local-rule", "missing-term"),
        places=("dy", "y", "log_softmax", "softmax", "index")),
    ("rnn", "clipped the gradients before returning them"): Label(
        kinds=(),   # none of the list: the entries are cut off
        places=("dWxh", "Wxh", "dWhh", "Whh", "dWhy", "Why", "dbh", "bh", "dby", "by")),
    ("rnn", "walked forward in time in the backward pass"): Label(
        kinds=("wrong-operand", "stale-value"),
        places=("dhnext", "dh", "h", "dh0", "h0", "matmul")),
    ("rnn", "updated Whh inside the backward loop"): Label(
        kinds=("stale-value", "wrong-operand"),
        places=("dhnext", "dh", "h", "Whh", "matmul")),
    ("rnn", "returned the last dh for h0"): Label(
        kinds=("missing-local-derivative", "wrong-operand", "stale-value"),
        places=("dh0", "h0", "dhnext", "dh", "h", "matmul", "tanh")),
    ("rnn", "averaged over the steps, the loss is a sum"): Label(
        kinds=("scale",),
        places=("Delta_y", "dy", "y", "total", "log_softmax", "subtract")),
    ("rnn", "previous state in the tanh derivative"): Label(
        kinds=("wrong-argument",),
        places=("Delta", "dhraw", "h", "tanh")),
    ("rnn", "the last step was skipped in the loop over time"): Label(
        kinds=("dropped-path",),
        places=("Delta", "dhraw", "up", "dh", "h", "y", "matmul", "tanh")),
    ("rnn", "overwrote the gradient of the output with the one from the future"): Label(
        kinds=("overwritten-accumulation", "dropped-path"),
        places=("up", "dh", "h", "y", "Why", "matmul", "add")),
    ("rnn", "used the softmax of the wrong step: targets shifted by one"): Label(
        kinds=("scatter", "wrong-operand"),
        places=("Delta_y", "dy", "y", "targets", "log_softmax", "index")),
    ("rnn", "bh's gradient averaged over the steps"): Label(
        kinds=("scale",),
        places=("grad_bh", "dbh", "bh", "add", "sum", "mean")),
    ("rnn", "truncated to two steps back"): Label(
        kinds=("dropped-path", "treated-as-constant"),
        places=("back", "dh", "h", "Whh", "matmul", "dh0", "h0")),
    ("rnn", "input of the outer step in Wxh's gradient"): Label(
        kinds=("wrong-operand",),
        places=("gWxh", "dWxh", "Wxh", "xs", "matmul")),
    ("rnn", "h0 only from the last step's loss, and bias of the output forgotten to accumulate"): Label(
        kinds=("two", "overwritten-accumulation"),   # overwritten-accumulation twice
        places=("gh0", "dh0", "h0", "gby", "dby", "by", "y", "h", "add", "matmul")),
    ("rnn", "tanh' without the square"): Label(
        kinds=("wrong-local-rule",),
        places=("delta", "dhraw", "h", "tanh")),
    ("embedding", "fancy indexing with += so repeated tokens count once"): Label(
        kinds=("scatter", "overwritten-accumulation"),
        places=("dE", "E", "emb", "index")),
    ("embedding", "plain assignment into the rows of E"): Label(
        kinds=("scatter", "overwritten-accumulation"),
        places=("dE", "E", "emb", "index")),
    ("embedding", "forgot to divide by the sentence length"): Label(
        kinds=("scale",),
        places=("demb", "emb", "pooled", "mean")),
    ("embedding", "divided by the batch size instead of the sentence length"): Label(
        kinds=("scale",),
        places=("demb", "emb", "pooled", "mean")),
    ("embedding", "forgot to divide by the batch size"): Label(
        kinds=("scale",),
        places=("dlogits", "logits", "logp", "nll", "log_softmax", "mean")),
    ("embedding", "subtracted one from whole columns"): Label(
        kinds=("scatter", "wrong-local-rule"),
        places=("dlogits", "logits", "logp", "labels", "log_softmax", "index")),
    ("embedding", "averaged the bias gradient over a batch that was already averaged"): Label(
        kinds=("scale",),
        places=("db", "b", "logits", "add", "sum", "mean")),
    ("embedding", "multiplied the cross entropy gradient by p (1 - p) as well"): Label(
        kinds=("double-derivative",),
        places=("dlogits", "logits", "logp", "log_softmax", "softmax")),
    ("embedding", "took token 0 for padding and zeroed its row"): Label(
        kinds=("dropped-path", "scatter", "treated-as-constant"),
        places=("dE", "E", "emb", "tokens", "index")),
    ("embedding", "W's gradient from the first word of each sentence instead of the mean"): Label(
        kinds=("wrong-operand",),
        places=("dW", "W", "pooled", "logits", "matmul")),
    ("embedding", "whether a word occurs instead of how often"): Label(
        kinds=("scatter", "overwritten-accumulation", "dropped-path"),
        places=("gE", "dE", "E", "emb", "index")),
    ("embedding", "normalised the counts over the batch instead of the sentence"): Label(
        kinds=("wrong-axis",),
        places=("B", "M", "pooled", "emb", "mean", "sum")),
    ("embedding", "target minus prediction"): Label(
        kinds=("sign",),
        places=("G", "dlogits", "logits", "logp", "nll", "log_softmax", "negative")),
    ("embedding", "L2 penalty in the gradient of W, which the loss has not"): Label(
        kinds=("extra-term",),
        places=("gW", "dW", "W")),
    ("embedding", "forgot the bias in the scores"): Label(
        kinds=("wrong-argument", "dropped-path"),
        places=("G", "dlogits", "logits", "b", "add", "log_softmax", "softmax")),
    ("embedding", "looped over the set of words of the sentence"): Label(
        kinds=("scatter", "overwritten-accumulation", "dropped-path"),
        places=("grad_E", "dE", "E", "emb", "index")),
    ("embedding", "gradient at the true class is p instead of p - 1"): Label(
        kinds=("dropped-path", "wrong-local-rule", "missing-term"),
        places=("delta", "dlogits", "logits", "logp", "log_softmax", "softmax", "index")),
    ("embedding", "one over p: the derivative of the log without the softmax"): Label(
        kinds=("missing-local-derivative", "wrong-local-rule"),
        places=("delta", "dlogits", "logits", "logp", "log_softmax", "softmax")),
    ("embedding", "divided E's gradient by the batch size inside the loop and again at the end"): Label(
        kinds=("scale",),
        places=("grad_E", "dE", "E", "emb", "pooled", "index", "mean")),
    ("embedding", "forgot to average W's gradient, the others are"): Label(
        kinds=("scale",),
        places=("grad_W", "dW", "W", "logits", "matmul", "mean")),
    ("embedding", "only the last class reaches the pooled vector"): Label(
        kinds=("overwritten-accumulation",),
        places=("e_h", "dpooled", "pooled", "logits", "matmul")),
    ("embedding", "the last word of every sentence left out"): Label(
        kinds=("dropped-path",),
        places=("e_E", "dE", "E", "demb", "emb", "tokens", "index", "mean")),
    ("embedding", "used the first example's gradient for all and forgot the batch mean in b"): Label(
        kinds=("two",),   # wrong-operand, scale
        places=("e_E", "dE", "E", "e_h", "demb", "emb", "pooled", "index", "e_b", "db", "b", "logits", "add", "sum",
                "mean")),
    ("conv1d", "forgot the relu at z"): Label(
        kinds=("missing-local-derivative",),
        places=("dz", "z", "a", "relu", "maximum")),
    ("conv1d", "relu mask from the sign of the gradient"): Label(
        kinds=("wrong-argument", "wrong-local-rule"),
        places=("dz", "z", "a", "relu", "maximum")),
    ("conv1d", "multiplied by a instead of the mask a > 0"): Label(
        kinds=("wrong-local-rule",),
        places=("dz", "z", "a", "relu", "maximum")),
    ("conv1d", "forgot the 1/n of the global mean"): Label(
        kinds=("scale",),
        places=("da", "a", "pooled", "mean")),
    ("conv1d", "divided by the input length instead of the number of windows"): Label(
        kinds=("scale",),
        places=("da", "a", "pooled", "mean")),
    ("conv1d", "kernel gradient comes out flipped"): Label(
        kinds=("transposed-result", "scatter", "wrong-operand"),
        places=("dK", "K", "z", "index", "matmul")),
    ("conv1d", "same slice of x for every kernel position"): Label(
        kinds=("wrong-operand",),
        places=("dK", "K", "x", "z", "index", "matmul")),
    ("conv1d", "formula for labels 0 and 1 with labels -1 and 1"): Label(
        kinds=("wrong-local-rule",),
        places=("dscore", "score", "loss", "logaddexp")),
    ("conv1d", "summed c over the batch and averaged over time"): Label(
        kinds=("scale",),
        places=("dc", "c", "z", "add", "sum", "mean")),
    ("conv1d", "the kernel's last position left at zero"): Label(
        kinds=("dropped-path",),
        places=("dK", "K", "z", "index", "matmul")),
    ("conv1d", "the last window left out at K: range ends one too early"): Label(
        kinds=("dropped-path",),
        places=("dK", "K", "x", "z", "index", "matmul")),
    ("conv1d", "probability of the right class instead of the wrong one"): Label(
        kinds=("wrong-local-rule", "wrong-argument"),
        places=("p_wrong", "g_f", "dscore", "score", "loss", "logaddexp")),
    ("conv1d", "dropped the minus of -y"): Label(
        kinds=("sign",),
        places=("g_f", "dscore", "score", "loss", "logaddexp", "multiply", "negative")),
    ("conv1d", "forgot the label in the gradient of the score"): Label(
        kinds=("missing-local-derivative",),
        places=("g_f", "dscore", "score", "y", "multiply")),
    ("conv1d", "tile instead of repeat: pooled gradients given to the wrong examples"): Label(
        kinds=("wrong-axis", "scatter"),
        places=("g_R", "da", "a", "pooled", "mean")),
    ("conv1d", "window and channel mixed up in the reshape of K's gradient"): Label(
        kinds=("transposed-result", "scatter"),
        places=("g_K", "dK", "K", "index", "matmul", "reshape")),
    ("conv1d", "max pooling in the gradient of w"): Label(
        kinds=("wrong-operand",),
        places=("g_w", "dw", "w", "pooled", "score", "matmul")),
    ("conv1d", "leaky slope for the negative part"): Label(
        kinds=("wrong-local-rule",),
        places=("g_Z", "dz", "z", "a", "relu", "maximum")),
    ("conv1d", "mask of the pooled feature instead of every step"): Label(
        kinds=("wrong-argument", "missing-local-derivative"),
        places=("delta", "dz", "z", "a", "relu", "maximum")),
    ("conv1d", "forgot w between the score and the feature"): Label(
        kinds=("missing-local-derivative",),
        places=("delta", "dpooled", "pooled", "w", "score", "matmul")),
    ("conv1d", "x and kernel index run against each other"): Label(
        kinds=("wrong-operand", "transposed-result", "scatter"),
        places=("grad_K", "dK", "K", "x", "z", "index", "matmul")),
    ("conv1d", "always the first sample's input"): Label(
        kinds=("wrong-operand",),
        places=("grad_K", "dK", "K", "x", "z", "index", "matmul")),
    ("conv1d", "logistic loss's b not averaged, and c overwritten by the last step"): Label(
        kinds=("two",),   # scale, overwritten-accumulation
        places=("grad_b", "db", "b", "score", "mean", "grad_c", "dc", "c", "z", "add")),
    ("conv1d", "exp(margin) where exp(-margin) belongs"): Label(
        kinds=("wrong-local-rule",),
        places=("slope", "dscore", "score", "loss", "logaddexp")),
    ("gru", "sign of the update gate: hprev - n"): Label(
        kinds=("sign",),
        places=("dz", "z", "h", "multiply", "subtract")),
    ("gru", "forgot that n is subtracted from hprev: dz is dh n"): Label(
        kinds=("dropped-path",),
        places=("dz", "z", "h", "multiply", "subtract")),
    ("gru", "swapped z and 1 - z of the other GRU convention in the backward pass"): Label(
        kinds=("swapped", "wrong-operand"),
        places=("dn", "n", "dhprev", "dh", "h", "multiply")),
    ("gru", "forgot the reset gate on the way to the previous state"): Label(
        kinds=("missing-local-derivative",),
        places=("dhprev", "dh", "h", "r", "multiply")),
    ("gru", "left out the path to the previous state through the reset gate"): Label(
        kinds=("dropped-path",),
        places=("dhprev", "dh", "h", "Ur", "r", "matmul")),
    ("gru", "hprev instead of the reset hprev in Un's gradient"): Label(
        kinds=("wrong-operand",),
        places=("dUn", "Un", "r", "n", "matmul")),
    ("gru", "forgot sigmoid' at the reset gate"): Label(
        kinds=("missing-local-derivative",),
        places=("dr_pre", "r", "sigmoid")),
    ("gru", "sigmoid derivative for the tanh of the candidate"): Label(
        kinds=("wrong-local-rule",),
        places=("dn_pre", "n", "tanh")),
    ("gru", "pasted the bias line: dbr collects the update gate"): Label(
        kinds=("wrong-operand",),
        places=("dbr", "br", "r", "add")),
    ("gru", "previous state's gradient overwritten by the update gate's path"): Label(
        kinds=("overwritten-accumulation",),
        places=("dhprev", "dh", "h", "Uz", "matmul", "add")),
    ("gru", "dh never handed to the previous step"): Label(
        kinds=("stale-value", "missing-local-derivative"),
        places=("dh", "dhprev", "h", "dh0", "h0")),
    ("gru", "dh changed to the previous state's before n's gradient was taken"): Label(
        kinds=("stale-value", "wrong-operand"),
        places=("dn", "n", "dh", "h", "multiply")),
    ("gru", "state before the last one in v's gradient"): Label(
        kinds=("wrong-operand",),
        places=("dv", "v", "h", "pred", "matmul")),
    ("gru", "stopped one step early in time"): Label(
        kinds=("dropped-path",),
        places=("dhprev", "dh", "h", "dh0", "h0", "x1")),
    ("gru", "one zeros array shared by all square gradients"): Label(
        kinds=("extra-term",),
        places=("dUz", "Uz", "dUr", "Ur", "matmul")),
    ("gru", "used Un without the transpose"): Label(
        kinds=("missing-transpose",),
        places=("grh", "drh", "Un", "n", "matmul", "multiply")),
    ("gru", "assigned the recurrent weights' gradients instead of adding"): Label(
        kinds=("overwritten-accumulation",),
        places=("dUz", "Uz", "dUr", "Ur", "dUn", "Un", "matmul")),
    ("gru", "called backward with the caches in the order of the forward pass"): Label(
        kinds=("wrong-argument", "wrong-operand", "stale-value"),
        places=("g2", "g0", "cache1", "cache3", "dh", "h", "z", "r", "n", "x1", "x3", "h0", "sigmoid", "tanh",
                "multiply", "matmul")),
    ("gru", "forgot the direct path from state to state"): Label(
        kinds=("dropped-path",),
        places=("dh", "h", "multiply", "add")),
    ("gru", "the gradient of the reset gate without the previous state"): Label(
        kinds=("missing-local-derivative",),
        places=("gr", "dr", "r", "h", "multiply")),
    ("gru", "forgot the mean at v only"): Label(
        kinds=("scale",),
        places=("dv", "v", "pred", "mse", "mean", "matmul")),
    ("gru", "the two halves of the stacked gates exchanged"): Label(
        kinds=("swapped", "wrong-operand"),
        places=("delta_gates", "dz", "z", "dr", "r", "concatenate")),
    ("gru", "reset after the matrix product, as some libraries do, in the forward pass"): Label(
        kinds=("wrong-argument", "wrong-operand", "wrong-local-rule"),   # a forward mistake
        places=("n", "r", "Un", "tanh", "matmul", "multiply")),
    ("gru", "tanh' forgotten at the candidate and the bias averaged"): Label(
        kinds=("two",),   # missing-local-derivative, scale
        places=("delta_n", "dn_pre", "n", "tanh", "grad_bn", "dbn", "bn", "add", "sum", "mean")),
    ("vae", "forgot the KL term at mu"): Label(
        kinds=("missing-term", "dropped-path"),
        places=("dmu", "mu", "kl", "power", "square")),
    ("vae", "wrong sign of the KL term at mu"): Label(
        kinds=("sign",),
        places=("dmu", "mu", "kl", "power", "square", "subtract")),
    ("vae", "KL at logvar: forgot the minus one"): Label(
        kinds=("dropped-path", "missing-term"),
        places=("dlogvar", "logvar", "kl", "add")),
    ("vae", "KL's gradient replaces the one through the sample at logvar"): Label(
        kinds=("overwritten-accumulation", "dropped-path"),
        places=("dlogvar", "logvar", "std", "z", "exp", "multiply", "add")),
    ("vae", "forgot the half in the derivative of the standard deviation"): Label(
        kinds=("scale", "missing-local-derivative"),
        places=("dlogvar", "logvar", "std", "z", "exp", "multiply")),
    ("vae", "variance instead of standard deviation in the reparametrisation's gradient"): Label(
        kinds=("wrong-argument", "wrong-local-rule", "double-derivative"),
        places=("dlogvar", "logvar", "std", "z", "exp")),
    ("vae", "forgot the noise at std"): Label(
        kinds=("missing-local-derivative",),
        places=("dstd", "std", "z", "eps", "dlogvar", "logvar", "multiply")),
    ("vae", "logvar taken for the log of the standard deviation in the whole derivation"): Label(
        kinds=("scale", "wrong-argument"),
        places=("std", "z", "dlogvar", "logvar", "exp", "multiply")),
    ("vae", "added the KL gradient into dz in place, so std's gets it too"): Label(
        kinds=("stale-value", "extra-term", "wrong-operand"),
        places=("dz", "z", "dmu", "dstd", "std", "dlogvar", "logvar", "multiply", "add")),
    ("vae", "squared error's output gradient: times xhat (1 - xhat)"): Label(
        kinds=("double-derivative",),
        places=("dlogits", "logits", "recon", "logaddexp", "softplus", "sigmoid")),
    ("vae", "the encoder's hidden layer hears from mu only"): Label(
        kinds=("dropped-path",),
        places=("dh", "h", "Wv", "logvar", "matmul")),
    ("vae", "mean over pixels as well as examples"): Label(
        kinds=("scale",),
        places=("dlogits", "logits", "recon", "logaddexp", "sum", "divide", "mean")),
    ("vae", "derivative of the softplus evaluated at its output"): Label(
        kinds=("wrong-argument",),
        places=("du", "u", "g", "logaddexp", "softplus")),
    ("vae", "took the softplus for a relu"): Label(
        kinds=("wrong-local-rule",),
        places=("du", "u", "g", "logaddexp", "softplus")),
    ("vae", "KL not divided by the number of examples"): Label(
        kinds=("scale",),
        places=("g_mean", "dmu", "mu", "g_lv", "dlogvar", "logvar", "kl", "divide")),
    ("vae", "beta of a beta-VAE in the gradient"): Label(
        kinds=("scale",),
        places=("g_mean", "dmu", "mu", "g_lv", "dlogvar", "logvar", "kl", "multiply", "divide")),
    ("vae", "mu and logvar's encoder weights exchanged on the way back"): Label(
        kinds=("swapped", "wrong-operand"),
        places=("delta1", "dh", "h", "Wm", "Wv", "mu", "logvar", "matmul")),
    ("vae", "the decoder's weights from the mean instead of the sampled code"): Label(
        kinds=("wrong-operand",),
        places=("gW2", "dW2", "W2", "z", "g", "matmul")),
    ("vae", "two mu: half forgotten in the KL of the mean"): Label(
        kinds=("scale",),
        places=("kl_mean", "g_mean", "dmu", "mu", "kl", "power", "square", "multiply")),
    ("vae", "x minus xhat"): Label(
        kinds=("sign",),
        places=("delta3", "dlogits", "logits", "recon", "logaddexp", "subtract")),
    ("vae", "fresh noise for the backward pass"): Label(
        kinds=("wrong-operand",),
        places=("ei", "eps", "back_logvar", "dlogvar", "logvar", "dstd", "std", "z", "multiply")),
    ("vae", "the neighbour's example in the encoder weights"): Label(
        kinds=("wrong-operand",),
        places=("dW1", "W1", "x", "h", "matmul")),
    ("vae", "pasted bm's line for bv"): Label(
        kinds=("wrong-operand", "swapped"),
        places=("dbv", "bv", "logvar", "add")),
    ("vae", "tanh' left out in the encoder, and the output bias keeps only the last example"): Label(
        kinds=("two",),   # missing-local-derivative, overwritten-accumulation
        places=("back", "da", "h", "tanh", "db3", "b3", "logits", "add")),
    ("batch_norm", "mean and variance taken for constants"): Label(
        kinds=("treated-as-constant", "dropped-path"),
        places=("dz1", "z1", "dmu", "mu", "dvar", "var", "zhat", "mean")),
    ("batch_norm", "left out the path through the variance"): Label(
        kinds=("treated-as-constant", "dropped-path"),
        places=("dz1", "z1", "dvar", "var", "zhat", "power", "square", "divide", "sqrt", "mean")),
    ("batch_norm", "forgot the 1/m of the mean at mu"): Label(
        kinds=("scale",),
        places=("dmu", "mu", "dz1", "z1", "mean")),
    ("batch_norm", "power -0.5 instead of -1.5 at the variance"): Label(
        kinds=("wrong-local-rule",),
        places=("dvar", "var", "std", "zhat", "divide", "sqrt")),
    ("batch_norm", "minus lost at the variance"): Label(
        kinds=("sign",),
        places=("dvar", "var", "dz1", "z1", "zhat", "divide", "sqrt")),
    ("batch_norm", "gain's gradient from the values before normalisation"): Label(
        kinds=("wrong-operand",),
        places=("dgain", "gain", "zhat", "bn", "multiply")),
    ("batch_norm", "shift's gradient averaged over the batch"): Label(
        kinds=("scale",),
        places=("dshift", "shift", "bn", "add", "sum", "mean")),
    ("batch_norm", "forgot the gain at zhat"): Label(
        kinds=("missing-local-derivative",),
        places=("dzhat", "zhat", "gain", "bn", "multiply")),
    ("batch_norm", "relu mask from the values before the batch norm"): Label(
        kinds=("wrong-argument",),
        places=("dbn", "bn", "a1", "relu", "maximum")),
    ("batch_norm", "divided by the variance instead of the standard deviation on the direct path"): Label(
        kinds=("wrong-local-rule", "wrong-operand", "double-derivative"),
        places=("dz1", "z1", "zhat", "std", "divide", "sqrt")),
    ("batch_norm", "two of the square although the loss has a half"): Label(
        kinds=("scale",),
        places=("dout", "out", "loss", "power", "square", "multiply")),
    ("batch_norm", "unbiased variance in the forward pass"): Label(
        kinds=("scale",),
        places=("var", "inv", "std", "zhat", "mean", "sqrt")),
    ("batch_norm", "forgot the n in front of g in the short formula"): Label(
        kinds=("scale",),
        places=("gz", "dz1", "z1", "zhat", "divide")),
    ("batch_norm", "plus in front of the gain term in the short formula"): Label(
        kinds=("sign",),
        places=("gz", "dz1", "z1", "dvar", "var", "zhat", "divide", "sqrt")),
    ("batch_norm", "forgot the relu"): Label(
        kinds=("missing-local-derivative",),
        places=("dbn", "bn", "a1", "relu", "maximum")),
    ("batch_norm", "gain and shift exchanged in the result of the short formula"): Label(
        kinds=("swapped",),
        places=("ggain", "dgain", "gain", "gshift", "dshift", "shift", "bn")),
    ("batch_norm", "returned the gradients times the learning rate"): Label(
        kinds=("scale",),
        places=("dW1", "W1", "dgain", "gain", "dshift", "shift", "dW2", "W2", "db2", "b2", "dout", "out", "loss")),
    ("batch_norm", "lost the minus at the mean"): Label(
        kinds=("sign",),
        places=("dmean", "dmu", "mu", "dz1", "z1", "subtract", "mean")),
    ("batch_norm", "forgot the 1/N of the variance"): Label(
        kinds=("scale",),
        places=("dsq", "dvar", "var", "mean", "power", "square")),
    ("batch_norm", "forgot the two at the square of xmu"): Label(
        kinds=("scale", "wrong-local-rule"),
        places=("dxmu2", "dsq", "dvar", "var", "dz1", "z1", "power", "square")),
    ("batch_norm", "derivative of 1/x without the square"): Label(
        kinds=("wrong-local-rule",),
        places=("dsqrtvar", "dvar", "var", "std", "zhat", "divide", "sqrt")),
    ("batch_norm", "derivative of the root without the half"): Label(
        kinds=("scale", "wrong-local-rule"),
        places=("dvar", "var", "std", "sqrt")),
    ("batch_norm", "dh2 overwrote dh1"): Label(
        kinds=("overwritten-accumulation", "dropped-path"),
        places=("dh", "dz1", "z1", "zhat", "subtract", "add")),
    ("batch_norm", "mask applied after the gain and shift gradients were taken"): Label(
        kinds=("missing-local-derivative", "stale-value"),
        places=("dpre", "dbn", "bn", "a1", "relu", "maximum", "dgain", "gain", "dshift", "shift")),
    ("batch_norm", "gain of the first unit for every unit"): Label(
        kinds=("wrong-operand",),
        places=("dW1", "W1", "dzhat", "zhat", "gain", "bn", "multiply")),
    ("batch_norm", "forgot the 1/m in the Jacobian's outer product"): Label(
        kinds=("scale",),
        places=("J", "dz1", "z1", "dvar", "var", "zhat", "mean")),
    ("batch_norm", "forgot the 1/m in the centring matrix, and normalised values instead of activations at W2"): Label(
        kinds=("two",),   # scale, wrong-operand
        places=("center", "dmu", "mu", "dz1", "z1", "mean", "subtract", "dW2", "W2", "a1", "out", "matmul")),
}
