"""Pieces of models that tests of several topics use: variables, inputs, and writers of old checkpoints of other kinds.

`conftest.save_checkpoint` writes the plain ones.
"""

import os

import tensorflow as tf

from estimator_warmstart.checkpoint.checkpoint import open_checkpoint

tf1 = tf.compat.v1


# New variables


def zeros(name, shape=(1,), dtype=tf.float32, **options):
    """A variable that begins with zeros, which no old model here has."""
    return tf1.get_variable(name, list(shape), dtype, tf1.zeros_initializer(), **options)


def adagrad(*variables):
    """Makes the slots of `variables`, whole or partitioned."""
    total = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(variable)) for variable in variables])
    return tf1.train.AdagradOptimizer(0.1).minimize(total)


def needed_by(op):
    """`op`, and the operations that run before it in whatever session runs it."""
    needed, waiting = {op}, [op]
    while waiting:
        op = waiting.pop()
        for source in [tensor.op for tensor in op.inputs] + list(op.control_inputs):
            if source not in needed:
                needed.add(source)
                waiting.append(source)
    return needed


def taken(plan):
    """{new name: old name} of all that takes an old value."""
    return {planned.new.name: planned.old.name for planned in plan.recovered}


# Estimators


def one_row():
    return tf.data.Dataset.from_tensors(({"x": [0.0]}, [0.0])).repeat()


def serving_input():
    x = tf1.placeholder(tf.float32, [None])
    return tf.estimator.export.ServingInputReceiver({"x": x}, {"x": x})


def value_at(model_dir, step, name="new/w"):
    """What an Estimator has saved at `step`, by name or by object, as lists."""
    prefix = os.path.join(str(model_dir), f"model.ckpt-{step}")
    return tf.train.load_variable(prefix, open_checkpoint(prefix).variables[name].key).tolist()


# Old checkpoints and vocabularies


def variable(name, value, **options):
    return tf1.get_variable(name, initializer=tf.constant(value), use_resource=True, **options)


def save_objects(folder, build):
    """Saves the `tf.train.Checkpoint` that `build` makes in a graph of its own, and returns its prefix."""
    with tf.Graph().as_default(), tf1.Session() as session:
        checkpoint = build()
        session.run(tf1.global_variables_initializer())
        return checkpoint.save(os.path.join(str(folder), "objects"))


def save_raw(folder, values, slices=()):
    """Saves values, or what functions make in the graph, with the slice specifications of TensorFlow's SaveV2.

    They are written in their own order. Returns the prefix.
    """
    prefix = os.path.join(str(folder), "model.ckpt")
    with tf.Graph().as_default(), tf1.Session() as session:
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix,
                tensor_names=list(values),
                shape_and_slices=list(slices) or [""] * len(values),
                tensors=[value() if callable(value) else tf.constant(value) for value in values.values()],
            )
        )
    return prefix


def save_sharded(folder):
    """Three variables, one of them in two parts, in two data files; returns the prefix."""
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            tf1.get_variable("a", initializer=tf.constant([1.0, 2.0]), use_resource=False)
        with tf.device("/cpu:1"):
            tf1.get_variable("b", initializer=tf.constant([3, 4, 5]), use_resource=False)
        devices = iter(["/cpu:0", "/cpu:1"])
        with tf1.device(lambda op: next(devices) if op.type == "VariableV2" else "/cpu:0"):
            tf1.get_variable(
                "v",
                initializer=tf.constant([[1.0, 2], [3, 4], [5, 6]]),
                partitioner=tf1.fixed_size_partitioner(2),
                use_resource=False,
            )
        saver = tf1.train.Saver(sharded=True)
        with tf1.Session(config=tf1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(tf1.global_variables_initializer())
            return saver.save(session, os.path.join(str(folder), "model.ckpt"), write_meta_graph=False)


def vocabulary(folder, *lines):
    """Writes a vocabulary file, with a name of its own."""
    path = folder / f"vocabulary{len(list(folder.iterdir()))}.txt"
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return str(path)
