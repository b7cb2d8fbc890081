"""A trained recognizer at work: files, folders, images in memory, ONNX, a web page."""
