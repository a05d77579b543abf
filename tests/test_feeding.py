"""Which variables feed a tensor, and what uses a variable: through functions, loops, parts and reference variables."""

import pytest
import tensorflow as tf

from estimator_warmstart.graph.feeding import Feeding
from estimator_warmstart.graph.variables import logical_variables
from shared_models import zeros

tf1 = tf.compat.v1


def feeding_of(graph):
    return Feeding(graph, logical_variables(graph))


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_through_operations(new_graph, use_resource):
    a, b, _ = (zeros(name, [2, 2], use_resource=use_resource) for name in "abc")
    result = tf.nn.relu(tf.matmul(a, tf.ones([2, 2]))) + b
    feeding = feeding_of(new_graph)
    assert feeding.variables_before([result]) == ["a", "b"]
    assert [use.type for use in feeding.uses("a", feeding.operations_before([result]))] == ["MatMul"]
    assert [use.type for use in feeding.uses("b", feeding.operations_before([result]))] == [result.op.type]
    assert feeding.uses("c", feeding.operations_before([result])) == []


def test_what_does_not_lead_to_a_tensor_is_no_use(new_graph):
    a = zeros("a", [2])
    result, _ = a * 2.0, a * 3.0
    feeding = feeding_of(new_graph)
    assert feeding.uses("a", feeding.operations_before([result])) == [result.op]


def test_the_parts_of_a_variable_are_one(new_graph):
    table = zeros("table", [4, 2], partitioner=tf1.fixed_size_partitioner(2))
    result = tf.matmul(tf.ones([1, 4]), tf.convert_to_tensor(table))
    feeding = feeding_of(new_graph)
    assert feeding.variables_before([result]) == ["table"]
    (use,) = feeding.uses("table", feeding.operations_before([result]))
    assert use.type == "MatMul" and [tensor.op.type for tensor in feeding.other_inputs(use)] == ["Const"]


def test_a_function_is_looked_into(new_graph):
    a, b = zeros("a", [2], use_resource=True), zeros("b", [2], use_resource=True)

    @tf.function
    def inner(x, y):
        return x + a, y * b

    @tf.function
    def outer(x):
        left, right = inner(x, x)
        return left, right

    left, right = outer(tf.ones([2]))
    feeding = feeding_of(new_graph)
    assert left.op.type in ("PartitionedCall", "StatefulPartitionedCall") or left.op.type == "Identity"
    assert feeding.variables_before([left]) == ["a"]
    assert feeding.variables_before([right]) == ["b"]


def test_a_loop(new_graph):
    a, b = zeros("a", [2]), zeros("b", [2])
    result = tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x + a), [tf.constant(0), tf.convert_to_tensor(b)])[1]
    assert feeding_of(new_graph).variables_before([result]) == ["a", "b"]


def test_a_condition(new_graph):
    a, b, c = zeros("a"), zeros("b"), zeros("c")
    result = tf.cond(tf.reduce_sum(c) > 0, lambda: a + 1.0, lambda: b + 1.0)
    assert feeding_of(new_graph).variables_before([result]) == ["a", "b", "c"]
