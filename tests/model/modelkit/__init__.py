"""A small model checker that runs the project's own code over every interleaving.

``sides`` runs a piece of real code up to its next access to shared memory, again and again from its beginning; ``memory`` says
what such an access may see; ``explorer`` goes through all there is; ``twins`` stand in for regions and descriptors.
"""
