"""One file an architecture. The file is found by its name in params.yaml.

A file defines `Net(n_classes, …)`, an nn.Module from images N×3×32×32 to one
score a class. Where its training differs, it also defines

    loss(outputs, labels)           in place of cross-entropy,
    penalty(parameters, …)          a scalar added to the loss,
    optimizer(parameters, lr, …)    in place of plain SGD,
    schedule(optimizer, steps, …)   an LRScheduler, stepped after each of `steps` batches.

The arguments at … are settings: `n_chans` and `n_blocks` come from `model` in
params.yaml, where `sized_by` names them, every other one from the
architecture's own entry. An annotation such as
`Annotated[float, Interval(ge=0, lt=1)]` is the range that params.yaml is held to.
`n_classes`, `parameters`, `lr`, `optimizer` and `steps` are given, and are names of no
setting.

The chapter's nets pool after tanh or ReLU; ours pool before, with a quarter of the
activations left to compute. Both activations keep the order of numbers, so the outputs
are equal to the bit. So are the gradients, except in a window whose largest numbers have
the same tanh in float32: there the gradient goes to the larger of them, not to the first.

All that a net, a loss or a penalty remembers from batch to batch is in the net's
parameters and buffers, and random numbers are torch's: only those are restored when a
training that was interrupted is resumed.
"""
