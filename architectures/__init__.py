"""The nets, one per file. The rows of params.yaml refer to a file by its name.

The first line of a file's docstring says what the net is, with the section of the book in
parentheses. The table of results shows it.

A file defines `Net(n_classes, …)`, an nn.Module that maps images, N×3×32×32, to one score
per class, N×n_classes. If the net trains in a special way, the file can also define

    loss(outputs, labels)           instead of cross-entropy,
    penalty(parameters, …)          a scalar that is added to the loss,
    optimizer(parameters, lr, …)    instead of SGD,
    schedule(optimizer, steps, …)   an LRScheduler, stepped after each of `steps` batches.

Each replaces a part of the recipe, for every recipe that the net is trained with.

Here, … stands for further arguments, the settings. `n_chans` and `n_blocks` come from
`model` in params.yaml if the row's `sized_by` selects them; every other setting comes from
the row, or from the argument's default value. An annotation such as
`Annotated[float, Interval(ge=0, lt=1)]` limits the values that params.yaml may contain. Do
not name a setting n_classes, parameters, optimizer or steps (the benchmark passes these),
nor like a key of a row or a recipe.

The book's nets pool after tanh or ReLU. Ours pool first, except after a skip connection, so
only a quarter of the activations must be computed. Both functions are increasing, so the
outputs are equal bit for bit. So are the gradients, except when two numbers in a window
have the same tanh in float32: then the gradient goes to the larger number instead of the
first.

When a training run resumes, the net's parameters and buffers and torch's random number
generators are restored. Anything else that a net, loss or penalty remembers is lost, so
such a file is refused (benchmark/rehearsal/).
"""
