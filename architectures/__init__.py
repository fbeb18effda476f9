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

A net is written as the chapter draws it. What makes its training faster and changes
nothing else (benchmark/pool_first.py, the layout of its tensors) is done from outside.
Activations are put off until something asks for them, so a net that changes the input
of tanh or ReLU in place after them is refused. All that a net, a loss or a penalty
remembers from batch to batch is in the net's parameters and buffers, and random numbers
are torch's: only those go on where a training was cut off.
"""
