"""Words drawn as a camera would see them: a vocabulary, fonts, lettering, grounds, light, a camera.

`renderer.Renderer` puts the parts together, and `crops.sources.rendered` is the source over it.
"""
