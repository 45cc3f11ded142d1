"""Parts of a data set."""

import bnn_tutorial as bnn


def first(data, train, test):
    parts = data.train_images[:train], data.train_labels[:train], data.test_images[:test], data.test_labels[:test]
    return bnn.LabelledImages(*parts, name=f"first {train} of {data.name}")
